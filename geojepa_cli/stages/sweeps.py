"""Stage `sweeps/`: trains and tests models with different settings, and ranks them in one table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, InterruptedRunError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.stage import Regions, Stage, as_command
from geojepa_cli.stages.sweep_figures import BASELINE, baseline_scores, trial_scores
from geojepa_cli.stages.sweep_jobs import TRIALS, Done, Job, probe_tasks
from geojepa_cli.stages.sweep_plan import Settings, SweepPlan, make_plan
from geojepa_cli.stages.workers import check_ray, run_jobs
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.sweep_scores import TrialScores

JSON_FILE, MARKDOWN_FILE, CSV_FILE = "sweep.json", "sweep.md", "sweep.csv"
SPEC_FILE, BASE_FILE = "sweep.yaml", "base.yaml"


def _rebuild(remains: Remains) -> Hint:
    """Returns the command that runs a sweep again. It uses the sweep file in the artifact, unless this is damaged."""
    folder = remains.path
    intact = folder is not None and all(
        name in remains.files and (folder / name).is_file() and file_sha256(folder / name) == remains.files[name]
        for name in (SPEC_FILE, BASE_FILE)
    )
    return Hint("sweep", arguments=(str(folder / SPEC_FILE) if folder is not None and intact else "FILE",))


SWEEPS = Stage("sweeps", version=2, rebuild=_rebuild, files=(JSON_FILE, MARKDOWN_FILE, CSV_FILE, SPEC_FILE, BASE_FILE))


@as_command("sweep")
def plan_sweep(
    workspace: Workspace,
    file: str | Path,
    region: Regions = None,
    test_region: Regions = None,
    set_: Settings = (),
) -> SweepPlan:
    """Returns the trials that `sweep` would train with the same arguments.

    Raises:
        UsageError: the file or the configuration of a trial is invalid.
        NotFoundError: there is no such sweep, region or task.
    """
    return make_plan(workspace, file, region, test_region, set_, "auto")


@as_command("sweep")
def sweep(
    workspace: Workspace,
    file: str | Path,
    region: Regions = None,
    test_region: Regions = None,
    set_: Settings = (),
    workers: int = 1,
    ray: bool = False,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Trains models for each trial of a sweep file, tests all models on the same tiles, and ranks the trials.

    Models and probes are ordinary artifacts. Those that exist are not made again, so a sweep that was killed continues
    where it stopped. A trial that fails is listed in the table with the reason, and the others continue; the next run
    of the sweep tries it again.

    Args:
        workspace: workspace to read from and publish to.
        file: path of a YAML file (see docs/formats.md), or name of a sweep that comes with geojepa.
        region: regions to train on, instead of those in the file.
        test_region: regions to test on, instead of those in the file.
        set_: settings of all trials, which replace those of the base configuration.
        workers: number of models that are trained at the same time, each in its own process.
        ray: run the trials on Ray: on the cluster of `RAY_ADDRESS`, or on this computer. All machines need the
            workspace at the same path. `workers` limits the number of trials at the same time if it is above 1.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads of each model.

    Returns:
        The `sweeps/` artifact with the table as `sweep.md`, `sweep.csv` and `sweep.json`.

    Raises:
        UsageError: the file, the configuration of a trial or an argument is invalid.
        NotFoundError: there is no such sweep, region or task.
        DataError: there are too few tiles or groups to test on, or all trials failed.
        MissingExtraError: Ray is not installed.
        InterruptedRunError: the sweep was stopped with Ctrl-C or SIGTERM.
    """
    plan = make_plan(workspace, file, region, test_region, set_, device)
    if ray:
        check_ray()
    jobs = plan.jobs(workspace, device, threads)
    # the baseline needs no training: this finds everything that is wrong with regions and tasks first
    baselines = [probe_tasks(workspace, BASELINE, job) for job in jobs[: len(plan.folds)]]
    baseline = baseline_scores(plan, baselines)
    done = _run(jobs, workers if not ray or workers > 1 else 0, ray)
    if all(one["error"] for one in done):
        raise DataError(f"all trials failed; the first error: {done[0]['error']}", hints.again().noting("to try again"))
    by_trial: dict[str, list[Done]] = defaultdict(list)
    for job, one in zip(jobs, done, strict=True):
        by_trial[job["trial"]].append(one)
    scores = [trial_scores(workspace, plan, trial, by_trial[trial.name]) for trial in plan.trials]
    inputs = [one for row in baselines for one in row]
    for one in done:
        inputs += [workspace.find("models", one["model"])] if one["model"] else []
        inputs += [workspace.find("probes", ref) for ref in one["probes"]]
    for failed in (score for score in scores if score.error):
        console.warn(f"trial `{failed.name}` failed: {failed.error}", hints.again().noting("tries it again"))
    return _publish(workspace, plan, [*scores, baseline], inputs)


def _run(jobs: Sequence[Job], workers: int, ray: bool) -> list[Done]:
    """Runs all jobs. Returns their results in the order of the jobs.

    Raises:
        InterruptedRunError: the sweep was stopped. The hint is the command that resumes it.
    """
    found: dict[int, Done] = {}
    started = 0

    def start(job: Job) -> None:
        nonlocal started
        started += 1
        console.note(f"model {started} of {len(jobs)}: {job['model']}")

    try:
        for place, one in run_jobs(TRIALS, jobs, workers, ray, start):
            found[place] = one
            if one["error"]:
                console.note(f"{jobs[place]['model']} failed: {one['error']}")
    except (InterruptedRunError, KeyboardInterrupt):
        message = f"interrupted; {len(found)} of {len(jobs)} models are finished and kept"
        raise InterruptedRunError(message, hints.again().noting("to resume")) from None
    return [found[place] for place in range(len(jobs))]


def _publish(
    workspace: Workspace, plan: SweepPlan, scores: Sequence[TrialScores], inputs: Sequence[Artifact]
) -> Artifact:
    spec = plan.spec
    params: dict[str, Any] = {
        "base": plan.base.model_dump(mode="json"),
        "trials": {trial.name: dict(trial.settings) for trial in plan.trials},
        "reference": plan.reference,
        "regions": [region.ref for region in plan.regions],
        "test_regions": [region.ref for region in plan.test_regions],
        **{"tasks": plan.tasks, "seeds": list(spec.seeds), "folds": list(spec.folds)},
        **{"masked": spec.masked, "heads": list(spec.heads)},
        "failed": [one.name for one in scores if one.error],
    }

    def write(build: Build) -> Artifact:
        from geojepa_cli.config.load import dump_config
        from geojepa_cli.evaluate.sweep_tables import sweep_csv, sweep_markdown

        content = {"name": plan.name, **params, "tables": _tables(plan, scores, inputs)}
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        files = {
            JSON_FILE: text + "\n",
            MARKDOWN_FILE: sweep_markdown(content),
            CSV_FILE: sweep_csv(content),
            SPEC_FILE: _resolved(plan),
            BASE_FILE: dump_config(plan.base),
        }
        for name, one in files.items():
            (build.partial / name).write_text(one, encoding="utf-8")
        models = sum(one.kind == "models" for one in inputs)
        return build.publish(counts={"trials": len(plan.trials), "failed": len(params["failed"]), "models": models})

    return SWEEPS.make(workspace, plan.name, params, inputs, write)


def _tables(plan: SweepPlan, scores: Sequence[TrialScores], inputs: Sequence[Artifact]) -> list[dict[str, Any]]:
    from geojepa_cli.evaluate.sweep_scores import rank_trials
    from geojepa_cli.stages.sweep_figures import is_random

    random = any(is_random(one) for one in inputs if one.kind == "probes")
    return [{"head": head, "rows": rank_trials(scores, plan.reference, head, random)} for head in plan.spec.heads]


def _resolved(plan: SweepPlan) -> str:
    """Returns a sweep file that makes the same artifact again. It uses `base.yaml` in the same folder."""
    spec = plan.spec
    variants: Mapping[str, Any] = {
        trial.name: {key: list(one) if isinstance(one, tuple) else one for key, one in trial.settings.items()}
        for trial in plan.trials
    }
    content = {
        **{"name": plan.name, "base": BASE_FILE, "variants": variants, "seeds": list(spec.seeds)},
        "regions": [region.ref for region in plan.regions],
        **({"folds": list(spec.folds)} if spec.folds else {"test_regions": [one.ref for one in plan.test_regions]}),
        **{"tasks": plan.tasks, "masked": spec.masked, "heads": list(spec.heads), "reference": plan.reference},
    }
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
