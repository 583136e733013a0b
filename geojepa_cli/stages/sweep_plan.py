"""Plans a sweep before anything is trained: finds regions and tasks, and makes and checks the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import NotFoundError, UsageError, unknown
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.models import check_model_name
from geojepa_cli.stages.probe_plan import check_heads
from geojepa_cli.stages.probe_regions import find_built_tasks, region_groups, tasks_of
from geojepa_cli.stages.stage import Regions, as_list, find_regions, in_fixed_order
from geojepa_cli.stages.sweep_jobs import Job
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.families import RunConfig
    from geojepa_cli.config.sweep import SweepSpec
    from geojepa_cli.config.trials import Trial

Settings = Mapping[str, object] | str | Sequence[str]


class SweepPlan(NamedTuple):
    """Plan of a sweep: everything that will be trained and tested.

    Attributes:
        spec: content of the sweep file.
        base: base configuration with the settings that all trials share.
        trials: trials, with their checked configurations.
        reference: name of the trial with which the others are compared.
        regions, test_regions: `processed/` artifacts to train on and to test on.
        tasks: names of the tasks.
    """

    spec: SweepSpec
    base: RunConfig
    trials: list[Trial]
    reference: str
    regions: list[Artifact]
    test_regions: list[Artifact]
    tasks: list[str]

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return str(self.spec.name)

    @property
    def folds(self) -> Sequence[int | None]:
        """Folds of the sweep. Each is left out of training and then tested. `(None,)` if there are no folds."""
        return self.spec.folds or (None,)

    def jobs(self, workspace: Workspace, device: str, threads: int) -> list[Job]:
        """Returns the jobs of the sweep: one for each combination of trial, seed and fold."""
        return [
            self.job(workspace, trial, seed, fold, device, threads)
            for trial in self.trials
            for seed in self.spec.seeds
            for fold in self.folds
        ]

    def job(self, workspace: Workspace, trial: Trial, seed: int, fold: int | None, device: str, threads: int) -> Job:
        """Returns the job of the model with the given trial, seed and fold."""
        from geojepa_cli.config.load import dump_config

        return {
            "workspace": str(workspace.root.resolve()),
            "trial": trial.name,
            "model": f"{self.name}-{trial.name}-seed{seed}" + ("" if fold is None else f"-fold{fold}"),
            "config": dump_config(trial.config),
            "seed": seed,
            "fold": fold,
            "regions": [region.ref for region in self.regions],
            "test_regions": [region.ref for region in self.test_regions],
            "tasks": self.tasks,
            "masked": self.spec.masked,
            "heads": list(self.spec.heads),
            "device": device,
            "threads": threads,
        }


def make_plan(
    workspace: Workspace, file: str | Path, region: Regions, test_region: Regions, set_: Settings, device: str
) -> SweepPlan:
    """Reads a sweep file, and checks everything that can be checked before training.

    Raises:
        UsageError: the file or a trial is invalid, or the device is unknown.
        NotFoundError: a region or task does not exist.
    """
    from geojepa_cli.config.load import load_run_config
    from geojepa_cli.config.trials import find_reference, load_sweep, make_trials

    check_device(device)
    pairs = [f"{key}={one}" for key, one in set_.items()] if isinstance(set_, Mapping) else check_texts("set_", set_)
    spec = load_sweep(str(file))
    trials = make_trials(spec, str(file), pairs)
    reference = find_reference(spec, trials, str(file))
    _check(spec, trials, str(file))
    base = load_run_config(spec.base, [*(f"{key}={_yaml(one)}" for key, one in spec.set.items()), *pairs])
    regions = in_fixed_order(
        find_regions(workspace, "processed", (list(spec.regions) or None) if region is None else region)
    )
    tested = _test_regions(workspace, spec, regions, test_region)
    try:
        built = find_built_tasks(workspace, list(spec.tasks) or None, [one.ref for one in tested])
    except NotFoundError as error:
        if not spec.tasks:
            raise
        corrected = hints.again().noting("after the file is corrected, or the task is built")
        raise NotFoundError(f"`{file}`: {error.message}", corrected) from None
    return SweepPlan(spec, base, trials, reference, regions, tested, [one.name for one in built])


def _yaml(value: object) -> str:
    from geojepa_cli.config.trials import as_text

    return as_text(value)  # type: ignore[arg-type]


def _check(spec: SweepSpec, trials: Sequence[Trial], source: str) -> None:
    """Checks a sweep before it starts, so that it does not fail in one of its runs.

    Raises:
        UsageError: a head is unknown, the name of a run is not allowed, or a configuration cannot be used in a sweep
            because it trains a geometry encoder or sets `data.fold`.
    """
    from geojepa_cli.config.geometry import GeometryConfig

    corrected = hints.again().noting("after the file is corrected")
    try:
        check_heads(list(spec.heads))
        for trial in trials:
            check_model_name(f"{spec.name}-{trial.name}-seed0-fold00")
    except UsageError as error:
        raise UsageError(f"`{source}`: {error.message}", corrected) from None
    for trial in trials:
        if isinstance(trial.config, GeometryConfig):
            raise UsageError(
                f"`{source}`: `{spec.base}` trains a geometry encoder, which has no tile vectors", corrected
            )
        if trial.config.data.fold is not None:
            message = f"`{source}`, trial `{trial.name}`: `data.fold` cannot be set; use the key `folds`"
            raise UsageError(message, corrected)


def _test_regions(workspace: Workspace, spec: SweepSpec, regions: Sequence[Artifact], given: Regions) -> list[Artifact]:
    """Returns the regions to test on. Default: all regions that share no zoom-14 tile with the training regions."""
    if given and spec.folds:
        message = "`--test-region` cannot be combined with `folds` of the sweep file, which test on training regions"
        raise UsageError(message, _without_tests())
    if spec.folds:
        return list(regions)
    if given is not None or spec.test_regions:
        wanted = list(spec.test_regions) if given is None else given
        known = workspace.names("processed")
        for one in as_list(wanted):
            if isinstance(one, str) and one.partition("@")[0] not in known:
                raise unknown("region", one, known, hints.run("artifacts"), "--test-region")
        return in_fixed_order(find_regions(workspace, "processed", wanted, "test_region"))
    found = _unseen(workspace, spec, regions)
    if found:
        names = ", ".join(f"`{one.name}`" for one in found)
        console.note(f"testing on {names}, which training does not see; to test on other regions, use `--test-region`")
        return found
    console.warn("the models are tested on the training regions, because the tasks were built for no unseen region")
    return list(regions)


def _unseen(workspace: Workspace, spec: SweepSpec, regions: Sequence[Artifact]) -> list[Artifact]:
    names = {region.name for region in regions}
    others = [workspace.find("processed", name) for name in workspace.names("processed") if name not in names]
    found = []
    for one in others:
        tasks = tasks_of(workspace, [one])
        if tasks and set(spec.tasks) <= set(tasks):
            found.append(one)
    if not found:
        return []
    import numpy as np

    seen = np.concatenate([region_groups(region) for region in regions])
    unseen = [one for one in found if not np.isin(region_groups(one), seen).any()]
    return in_fixed_order(unseen) if tasks_of(workspace, unseen) else []


def _without_tests() -> hints.Hint:
    given = hints.running()
    wrong = [one for one in given.options if one[0] == "--test-region"] if given else []
    return hints.instead(wrong[0]) if wrong else hints.again()
