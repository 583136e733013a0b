"""Preparation of probes: finds regions, tasks and models, and checks what the models saw in pretraining.

A probe trains a small prediction head on frozen embeddings, to test how well they predict the label of a task.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.heads import DEFAULT_HEADS, HEADS
from geojepa_cli.config.language_model import LanguageModel
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.arguments import elements_of, wrong_type
from geojepa_cli.stages.built_tasks import Tasks
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.embeddings import check_region
from geojepa_cli.stages.probe_regions import BuiltTask, candidates, choose_regions, find_built_tasks, more_data
from geojepa_cli.stages.stage import Models, Regions, as_list
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.tasks.dataset import TaskData
    from geojepa_cli.tasks.spec import TaskSpec


@dataclass(frozen=True)
class ProbeSettings:
    """Settings of a probe.

    Attributes:
        heads: names of the prediction heads to train, such as `linear`.
        masked: hide from the models the tags and entities that reveal the label of the task.
        seed: random seed of the cross-validation folds, and first seed of the heads and the confidence intervals.
        seeds: number of consecutive seeds over which scores are averaged.
        labels: shares of the training labels for learning curves, each above 0 and below 1.
        without_shared: also test embeddings that were made without OSM elements that lie in several zoom-14 tiles.
        fold: the only fold of the task to test; None for all folds.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads; does not affect the result.
    """

    heads: tuple[str, ...] = DEFAULT_HEADS
    masked: bool = False
    seed: int = 0
    seeds: int = 1
    labels: tuple[float, ...] = ()
    without_shared: bool = False
    fold: int | None = None
    device: str = "auto"
    threads: int = 1

    def params(self) -> dict[str, Any]:
        """Returns the settings that change the result, for the manifest. Leaves out unused options."""
        params = {"masked": self.masked, "heads": list(self.heads), "seed": self.seed}
        params |= {"seeds": self.seeds} if self.seeds != 1 else {}
        params |= {"labels": list(self.labels)} if self.labels else {}
        params |= {"fold": self.fold} if self.fold is not None else {}
        return params | ({"without_shared": True} if self.without_shared else {})


@dataclass(frozen=True)
class ProbePlan:
    """Tasks and models of a probe.

    Attributes:
        tasks: tasks to probe, with their regions.
        models: models and baselines to test, always including the baseline TagPool.
    """

    tasks: list[BuiltTask]
    models: list[Model]


def plan_probe(workspace: Workspace, task: Tasks | None, model: Models, region: Regions) -> ProbePlan:
    """Finds the tasks, regions and models of a probe.

    Args:
        workspace: workspace to search.
        task: names of tasks, or `tasks/` artifacts. None selects all tasks that were built for the regions.
        model: names of models or baselines, `models/` artifacts, or language models. None selects the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts. None selects the regions of the artifacts in `task` or, if there are
            none, the only region in the workspace. If the workspace has several regions, None selects the regions that
            no model saw in pretraining; if there is no such region, a region must be given.

    Raises:
        UsageError: no model is given, or a region must be chosen.
        NotFoundError: a region, task or model does not exist. The hint is the command that makes the missing artifact.
    """
    wanted = as_list(model)
    if not wanted:
        raise wrong_type("model", model, "at least one model", '"tagpool"')
    possible = candidates(workspace, task, region)
    if possible:
        models = _models(workspace, wanted, possible)
        region = choose_regions(possible, models, lambda one, at: check_region(workspace, one, at)) or None
        return ProbePlan(find_built_tasks(workspace, task, region), models)
    tasks = find_built_tasks(workspace, task, region)
    regions = list(dict.fromkeys(one for built in tasks for one in built.regions))
    return ProbePlan(tasks, _models(workspace, wanted, regions))


def check_heads(head: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the names of the prediction heads to train, without duplicates. None selects `linear` and `mlp`.

    Raises:
        UsageError: a head is unknown.
    """
    given = DEFAULT_HEADS if head is None else tuple(dict.fromkeys(as_list(head)))
    for one in given:
        if one not in HEADS:
            expected = ", ".join(f"`{name}`" for name in HEADS)
            raise UsageError(f"unknown head `{one}`: expected {expected}", hints.again(head=list(DEFAULT_HEADS)))
    if not given:
        raise wrong_type("head", head, "at least one head", '"linear"')
    return given


def check_labels(labels: float | Sequence[float] | None) -> tuple[float, ...]:
    """Returns the shares of labels for learning curves: sorted, without duplicates, and without 1 (all labels).

    Raises:
        UsageError: a share is not a number above 0 and at most 1.
    """
    given = elements_of(labels)
    found: list[Any] = [labels] if given is None else given
    if labels is None:
        return ()
    if not found:
        raise wrong_type("labels", labels, "at least one share of the labels", "0.1")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, numbers.Real) or not 0 < float(one) <= 1:
            raise UsageError(f"`--labels {one}`: expected a share above 0 and at most 1", hints.again(labels=0.1))
    return tuple(sorted({float(one) for one in found if one < 1}))


def _models(
    workspace: Workspace, wanted: Sequence[str | Artifact | LanguageModel | None], regions: Sequence[Artifact]
) -> list[Model]:
    models = list(dict.fromkeys(find_model(workspace, one, regions, supervised=True) for one in wanted))
    refs = [one.ref for one in models]
    twice = next((ref for ref in refs if refs.count(ref) > 1), None)
    if twice is not None:
        message = f"`{twice}` is given with several files of weights: expected one in each probe"
        raise UsageError(message, hints.again(model=f"{twice}=FILE"))
    return models + ([] if any(one.name == TAGPOOL for one in models) else [Model(TAGPOOL, None)])


def without_mask(task: TaskSpec, settings: ProbeSettings) -> ProbeSettings:
    """Returns the settings with which a task is probed. If its labels come from a file, `masked` becomes False.

    Masking hides the tags that reveal the label. Labels from a file do not come from tags.
    """
    if task.label.file is None or not settings.masked:
        return settings
    console.warn(f"the labels of `{task.name}` are from a file: `--masked` is ignored, because no tag reveals them")
    return replace(settings, masked=False)


def check_folds(
    workspace: Workspace, data: TaskData, built: BuiltTask, seed: int, fold: int | None
) -> NDArray[np.int64]:
    """Checks that a task has enough tiles, in enough different zoom-14 tiles (groups), to train and test heads.

    Args:
        workspace: workspace that contains the artifacts.
        data: labels and splits of the task in all regions of the probe.
        built: regions and artifacts of the task.
        seed: random seed of the cross-validation folds.
        fold: the only fold of the task to test; None for all folds.

    Returns:
        For each tested tile, the zoom-14 tile (group) that contains it, int64.

    Raises:
        UsageError: the task has no fold with the number `fold`.
        DataError: there are too few tiles or groups, or the option `--buffer` removed all tiles to train on. The hint
            is the command that builds the task with more regions. If the workspace has no other region, it is the
            command that fetches a region.
    """
    import numpy as np

    from geojepa_cli.evaluate.folds import make_folds, probe_data

    if fold is not None and data.fold is None:
        again = hints.again().after(built.artifacts[0].rebuild_hint().adding(folds=max(5, fold + 1)))
        raise UsageError(f"`--fold {fold}`: the task `{built.name}` was built without folds", again)
    if fold is not None and data.rule.folds is not None and fold >= data.rule.folds:
        known = f"has the folds 0 to {data.rule.folds - 1}"
        raise UsageError(f"`--fold {fold}`: the task `{built.name}` {known}", hints.again(fold=0))
    rows, probed = probe_data(data)
    try:
        folds = make_folds(probed, seed, fold)
    except DataError as error:
        used = [region.name for region in built.regions]
        others = [name for name in workspace.names("processed") if name not in used]
        if not others:
            raise DataError(error.message, more_data()) from None
        rebuilt = built.artifacts[0].rebuild_hint().adding(region=others)
        raise DataError(error.message, hints.again(region=[*used, *others]).after(rebuilt)) from None
    tested: NDArray[np.int64] = data.groups[rows[np.concatenate([one.test for one in folds])]]
    return tested
