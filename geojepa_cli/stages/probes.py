"""Stage `probes/`: trains prediction heads on frozen tile embeddings, and computes their scores on test tiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.hints import Hint
from geojepa_cli.stages.built_tasks import Tasks
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import check_region, make_embeddings
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.probe_plan import Models, check_folds, plan_probe, seen_groups, warn_of_other_splits
from geojepa_cli.stages.probe_report import count_shared, report_content, tile_vectors
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, number, short_ref, task_ref, texts
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Regions, Stage, as_command, rebuilding
from geojepa_cli.stages.supervised import SupervisedRuns
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.probe import ProbeResult
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE = "report.json", "predictions.csv", "plot.png"
WITHOUT_SHARED = "{} without shared"  # label of a model's embeddings that were made without shared entities


def _rebuild(remains: Remains) -> Hint:
    task, _, model = remains.name.partition(".")
    params = remains.params
    heads = texts(params.get("heads"))
    again = hints.run(
        "probe",
        task=task_ref(remains, task),
        region=input_refs(remains, "processed"),
        masked=params.get("masked") is True,
        model=[short_ref(remains, "models", ref) for ref in texts(params.get("models"))] or model or None,
        head=heads[0] if len(heads) == 1 else None,
        seed=number(params.get("seed")),
        without_shared=params.get("without_shared") is True,
    )
    return noting_version(with_same_images(remains, again), texts(params.get("models")))


# schema 2 renamed two entries of `report.json`: `scores` and `protocol_description`
PROBES = Stage(
    "probes",
    version=3,
    schema=2,
    rebuild=_rebuild,
    variant=("masked", "without_shared"),
    files=(REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE),
)


@as_command("probe")
def probe(
    workspace: Workspace,
    task: Tasks,
    model: Models = None,
    region: Regions = None,
    masked: bool = False,
    head: str = "both",
    seed: int = 0,
    without_shared: bool = False,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Tests how well a small prediction head can predict the label of a task from the tile embeddings of models.

    For comparison, also tests two baselines: Dummy, which predicts the median label, and TagPool, which pools the
    text embeddings of a tile's tags (mean and maximum) and needs no training. Embeddings that do not exist yet are
    computed first.

    Args:
        workspace: workspace to read from and publish to.
        task: name of a task, or `tasks/` artifacts of one task.
        model: models to test: names of models or baselines, or `models/` artifacts. Default: the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts. Default: the regions of the artifacts in `task` or, if there are none,
            the only region in the workspace.
        masked: hide from the models the tags and entities that reveal the label of the task.
        head: prediction heads to train: `linear`, `mlp` or `both`.
        seed: random seed of the cross-validation folds, the heads and the confidence intervals.
        without_shared: also test embeddings that were made without OSM elements that lie in several zoom-14 tiles.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads for computing embeddings; does not affect the result.

    Returns:
        The `probes/` artifact with `report.json`, `predictions.csv` and `plot.png`.

    Raises:
        UsageError: the head or device is unknown.
        NotFoundError: there is no such region, task or model.
        DataError: there are too few tiles, the tiles are in too few zoom-14 tiles (groups), or an artifact is damaged.
    """
    check_device(device)
    plan = plan_probe(workspace, task, model, region, head)
    return make_probe(
        workspace,
        plan.regions,
        plan.tasks,
        plan.models,
        masked,
        plan.heads,
        seed,
        device,
        threads,
        without_shared,
    )


def make_probe(
    workspace: Workspace,
    regions: Sequence[Artifact],
    tasks: Sequence[Artifact],
    models: Sequence[Model],
    masked: bool = False,
    heads: Sequence[str] = ("linear", "mlp"),
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    without_shared: bool = False,
) -> Artifact:
    """Publishes `probes/<task>.<model>` in the workspace `workspace`. `<model>` is the name of the first model.

    Args:
        regions, tasks: one `processed/` artifact and one `tasks/` artifact for each region, in the same order.
        models, heads: models to test, and prediction heads to train for each model: `linear`, `mlp` or both.
        masked: hide from the models the tags and entities that reveal the label of the task.
        seed: random seed of the cross-validation folds, the heads and the confidence intervals.
        device, threads: device (`cpu`, `cuda` or `auto`) and number of CPU threads, both for computing embeddings.
        without_shared: also test embeddings that were made without OSM elements that lie in several zoom-14 tiles.

    Raises:
        DataError: there are too few tiles or groups, or a region cannot be embedded. Raised before embeddings are made.
    """
    warn_of_other_splits(models, regions, tasks)
    store, data = _open(regions, tasks)
    check_folds(workspace, data, regions, tasks, seed)
    _check_regions(workspace, regions, tasks, models, masked)
    embedded = _embed(workspace, regions, tasks, models, masked, device, threads, without_shared)
    supervised = SupervisedRuns(workspace, models, regions, device)
    name = tasks[0].params["task"]["name"]
    params = {"task": name, "masked": masked, "heads": list(heads), "seed": seed, "models": [m.ref for m in models]}
    params |= ({"without_shared": True} if without_shared else {}) | supervised.params
    inputs = [*regions, *tasks, *(made for by_region in embedded.values() for made in by_region), *supervised.features]

    def write(build: Build) -> Artifact:
        import torch

        from geojepa_cli.evaluate.folds import probe_data
        from geojepa_cli.evaluate.plots.probe import plot_probe
        from geojepa_cli.evaluate.predictions import write_predictions
        from geojepa_cli.evaluate.probe import run_probe

        torch.set_num_threads(1)  # heads are small, and with one thread results do not depend on the number of cores
        rows, probed = probe_data(data)
        vectors = {label: tile_vectors(store, rows, by_region) for label, by_region in embedded.items()}
        fits = supervised.fits(store, data, rows, masked, WITHOUT_SHARED if without_shared else None)
        with console.progress(f"probe {name}") as meter:
            result = run_probe(probed, vectors, heads, seed, meter.update, fits)
        content = report_content(data, result, params, regions, tasks) | supervised.report
        if without_shared:
            content["shared_entities"] = count_shared(store, data, masked)
        content["seen_in_pretraining"] = _seen(workspace, models, regions, data.groups[rows[result.fold >= 0]])
        _write_json(build.partial / REPORT_FILE, content)
        write_predictions(build.partial / PREDICTIONS_FILE, store, rows, probed, result.fold, result.predictions)
        plot_probe(probed, result, _title(data, masked), data.spec.label.unit, build.partial / PLOT_FILE)
        return build.publish(counts=_counts(result), extra={"seed": seed}, timing=supervised.timing)

    return PROBES.make(workspace, f"{name}.{models[0].name}", params, inputs, write)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _title(data: TaskData, masked: bool) -> str:
    random = " (RANDOM SPLIT)" if data.rule.by == "random" else ""
    return f"{data.spec.title}{' (masked)' if masked else ''}{random}"


def _check_regions(
    workspace: Workspace, regions: Sequence[Artifact], tasks: Sequence[Artifact], models: Sequence[Model], masked: bool
) -> None:
    """Checks that every model can embed every region."""
    for model in models:
        for region, task in zip(regions, tasks, strict=True):
            check_region(workspace, model, region, task if masked else None, masked, _task_limits(task))


def _open(regions: Sequence[Artifact], tasks: Sequence[Artifact]) -> tuple[TileStore, TaskData]:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    with rebuilding(*regions):
        store = TileStore.open([r.file(PROCESSED_FILE) for r in regions], names=[r.name for r in regions])
    return store, TaskData.open(store, tasks)


def _counts(result: ProbeResult) -> dict[str, int]:
    return {"tiles": result.tiles, "tiles_unthinned": result.tiles_unthinned, "groups": result.groups}


def _seen(
    workspace: Workspace, models: Sequence[Model], regions: Sequence[Artifact], tested: NDArray[Any]
) -> dict[str, int]:
    """Counts the test groups (zoom-14 tiles) that each model may have seen in pretraining.

    Returns:
        A dict from the reference of a model to the number of these groups. Contains only models for which this number
        is greater than 0.
    """
    seen = {model.ref: seen_groups(workspace, model, regions, tested) for model in models}
    return {ref: groups for ref, groups in seen.items() if groups}


def _embed(
    workspace: Workspace,
    regions: Sequence[Artifact],
    tasks: Sequence[Artifact],
    models: Sequence[Model],
    masked: bool,
    device: str,
    threads: int,
    without_shared: bool,
) -> dict[str, list[Artifact]]:
    """Returns the embeddings that a probe needs. Computes embeddings that do not exist yet. Skips supervised models.

    If nothing is hidden from the models, all tiles within the entity limits of the task are embedded. These include
    tiles that the task does not use, for example because they lie outside its bounding box. So probes of other tasks
    with the same limits can use the same embeddings.

    Returns:
        A dict from the name of each model, as printed in the report, to its `embeddings/` artifacts, one per region.
    """
    models = [model for model in models if not model.supervised]
    names = [model.name for model in models]
    labels = names if len(set(names)) == len(names) else [model.ref for model in models]
    labels = [model.label(label) for label, model in zip(labels, models, strict=True)]
    pairs = list(zip(regions, tasks, strict=True))

    def embed(model: Model, hide_shared: bool) -> list[Artifact]:
        return [
            make_embeddings(
                workspace,
                model,
                region,
                task if masked or hide_shared else None,
                masked,
                device,
                threads,
                _task_limits(task),
                tasks if hide_shared else (),
            )
            for region, task in pairs
        ]

    found = {label: embed(model, False) for label, model in zip(labels, models, strict=True)}
    if without_shared:
        found |= {WITHOUT_SHARED.format(label): embed(model, True) for label, model in zip(labels, models, strict=True)}
    return found


def _task_limits(task: Artifact) -> EntityLimits:
    """Returns the minimum and maximum number of entities in a tile that were set when the task was built."""
    low, high = task.params.get("min_entities"), task.params.get("max_entities")
    if not isinstance(low, int) or not isinstance(high, int):
        raise task.broken(f"`{task.path / 'manifest.json'}` has no valid `min_entities` and `max_entities`")
    return EntityLimits(low, high)
