"""Stage `probes/`: trains prediction heads on frozen tile embeddings, and computes their scores on test tiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, overload

from geojepa_cli import console, hints
from geojepa_cli.config.heads import DEFAULT_HEADS
from geojepa_cli.config.labels import WITHOUT_SHARED
from geojepa_cli.hints import Hint
from geojepa_cli.stages.built_tasks import Tasks
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import check_region
from geojepa_cli.stages.image_backbones import with_weights
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.probe_embeddings import embed_models, task_limits
from geojepa_cli.stages.probe_plan import (
    ProbeSettings,
    check_folds,
    check_heads,
    check_labels,
    plan_probe,
    without_mask,
)
from geojepa_cli.stages.probe_protocols import choose_fold, find_protocols
from geojepa_cli.stages.probe_regions import BuiltTask
from geojepa_cli.stages.probe_report import TileVectors, count_shared, report_content
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, number, task_ref, texts
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Models, Regions, Stage, as_command, rebuilding
from geojepa_cli.stages.supervised import SupervisedRuns
from geojepa_cli.stages.user_vectors import (
    UserRows,
    UserVectors,
    VectorFiles,
    model_or_default,
    name_of_probe,
    place_user_vectors,
    read_user_vectors,
    rebuild_options,
)
from geojepa_cli.stages.zero_shot import ZeroShotRuns, language_options, short_model
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE = "report.json", "predictions.csv", "plot.png"


def _rebuild(remains: Remains) -> Hint:
    task, _, model = remains.name.partition(".")
    params = remains.params
    heads, labels = texts(params.get("heads")), params.get("labels")
    shares = [f"{one:g}" for one in labels if isinstance(one, int | float)] if isinstance(labels, list) else []
    again = hints.run(
        "probe",
        task=task_ref(remains, task),
        region=input_refs(remains, "processed"),
        masked=params.get("masked") is True,
        model=[short_model(remains, with_weights(ref, params)) for ref in texts(params.get("models"))] or model or None,
        head=None if tuple(heads) == DEFAULT_HEADS else heads,
        seed=number(params.get("seed")),
        seeds=number(params.get("seeds"), 1),
        labels=shares,
        fold=number(params.get("fold"), -1),
        without_shared=params.get("without_shared") is True,
        embeddings=rebuild_options(params),
        **language_options(params),
    )
    return noting_version(with_same_images(remains, again), texts(params.get("models")))


# schema 4: scores in `report.json` have the reference of their model
PROBES = Stage(
    "probes",
    version=7,
    schema=4,
    rebuild=_rebuild,
    variant=("masked", "without_shared", "fold"),
    files=(REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE),
)


@overload
def probe(  # type: ignore[overload-overlap]  # text is a sequence of texts too
    workspace: Workspace,
    task: str | Artifact,
    model: Models = None,
    region: Regions = None,
    masked: bool = False,
    head: str | Sequence[str] | None = None,
    seed: int = 0,
    without_shared: bool = False,
    device: str = "auto",
    threads: int = 1,
    seeds: int = 1,
    labels: float | Sequence[float] | None = None,
    fold: int | None = None,
    embeddings: VectorFiles = None,
) -> Artifact: ...


@overload
def probe(
    workspace: Workspace,
    task: Sequence[str | Artifact] | None = None,
    model: Models = None,
    region: Regions = None,
    masked: bool = False,
    head: str | Sequence[str] | None = None,
    seed: int = 0,
    without_shared: bool = False,
    device: str = "auto",
    threads: int = 1,
    seeds: int = 1,
    labels: float | Sequence[float] | None = None,
    fold: int | None = None,
    embeddings: VectorFiles = None,
) -> list[Artifact]: ...


@as_command("probe")
def probe(
    workspace: Workspace,
    task: Tasks | None = None,
    model: Models = None,
    region: Regions = None,
    masked: bool = False,
    head: str | Sequence[str] | None = None,
    seed: int = 0,
    without_shared: bool = False,
    device: str = "auto",
    threads: int = 1,
    seeds: int = 1,
    labels: float | Sequence[float] | None = None,
    fold: int | None = None,
    embeddings: VectorFiles = None,
) -> Artifact | list[Artifact]:
    """Tests how well a small prediction head can predict the label of a task from the tile embeddings of models.

    Also tests two baselines: Dummy predicts the median label, TagPool pools the text embeddings of a tile's tags.
    Missing embeddings are computed first. Every score has a protocol: what pretraining saw of the tested tiles.

    Args:
        workspace: workspace to read from and publish to.
        task: name of a task, or its `tasks/` artifact; or a list of several. Default: all tasks that were built for
            the regions.
        model: names of models or baselines, `models/` artifacts, or language models (`LanguageModel`). Default: the
            newest model or, if there is none, the model that comes with the package.
        region: names of regions, or artifacts. Default: the regions of the artifacts in `task` or, if there are none,
            the only region in the workspace. If there are several regions: those that no model saw in pretraining.
        masked: hide from the models the tags and entities that reveal the label of the task.
        head: prediction heads to train: `linear` (ridge regression), `sgd` (linear, by gradient descent), `mlp`,
            `boosting`, or a list of several. Default: `linear` and `mlp`.
        seed: random seed of the cross-validation folds, and first seed of the heads and the confidence intervals.
        without_shared: also test embeddings that were made without OSM elements that lie in several zoom-14 tiles.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.
        seeds: number of consecutive seeds over which scores are averaged.
        labels: shares of the training labels, such as 0.1. Heads are also trained with these shares (learning curve).
        fold: number of the only fold of the task to test. Default: all folds; if a model was pretrained with
            `--fold` on the tested regions, the fold that it left out.
        embeddings: Parquet files with tile vectors of your own to test, as paths or texts `NAME=FILE`. Without `model`,
            only these vectors and the baselines are tested.

    Returns:
        The `probes/` artifact with `report.json`, `predictions.csv` and `plot.png`. If `task` is a list or None, a list
        with one artifact for each task.

    Raises:
        UsageError: a head, share of labels or device is unknown, or a region must be chosen.
        NotFoundError: there is no such region, task or model.
        DataError: there are too few tiles, the tiles are in too few zoom-14 tiles (groups), or an artifact is damaged.
    """
    check_device(device)
    heads, shares = check_heads(head), check_labels(labels)
    settings = ProbeSettings(heads, masked, seed, seeds, shares, without_shared, fold, device, threads)
    plan = plan_probe(workspace, task, model_or_default(model, embeddings), region)
    user, vectors = read_user_vectors(embeddings, plan.models), TileVectors()
    prepared = [_prepare(workspace, built, plan.models, settings, user) for built in plan.tasks]
    made = [_make_probe(workspace, one, plan.models, vectors) for one in prepared]
    return made[0] if isinstance(task, str | Artifact) else made


class _Prepared(NamedTuple):
    """A task that was checked, so that it can be probed.

    Attributes:
        built: regions and artifacts of the task.
        store, data: tiles of these regions, and their labels.
        settings: settings of the probe.
        protocols: dict from the reference of each model to its protocol (what pretraining saw of the tested tiles).
        user: vectors from files of the user (`--embeddings`).
    """

    built: BuiltTask
    store: TileStore
    data: TaskData
    settings: ProbeSettings
    protocols: dict[str, Protocol]
    user: UserRows


def _prepare(
    workspace: Workspace,
    built: BuiltTask,
    models: Sequence[Model],
    settings: ProbeSettings,
    vectors: Sequence[UserVectors],
) -> _Prepared:
    """Opens a task, and checks that it can be probed. `probe` checks all tasks before it computes anything.

    Raises:
        DataError: there are too few tiles or groups, or a region cannot be embedded.
    """
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    with rebuilding(*built.regions):
        files, names = [r.file(PROCESSED_FILE) for r in built.regions], [r.name for r in built.regions]
        store = TileStore.open(files, names=names)
    data = TaskData.open(store, built.artifacts)
    settings = without_mask(data.spec, settings)
    data, user = place_user_vectors(vectors, store, data, names, settings.masked)
    if settings.fold is None:
        settings = replace(settings, fold=choose_fold(data, models, store.groups))
    tested = check_folds(workspace, data, built, settings.seed, settings.fold)
    for model in models:
        for region, task in zip(built.regions, built.artifacts, strict=True):
            limits = task_limits(task)
            check_region(workspace, model, region, task if settings.masked else None, settings.masked, limits)
    protocols = find_protocols(models, tested, store.groups) | user.protocols(tested, store.groups)
    return _Prepared(built, store, data, settings, protocols, user)


def _make_probe(workspace: Workspace, prepared: _Prepared, models: Sequence[Model], vectors: TileVectors) -> Artifact:
    """Publishes `probes/<task>.<model>`. `<model>` is the name of the first model."""
    built, store, data, settings, protocols, user = prepared
    embedded = embed_models(workspace, built, models, settings)
    supervised = SupervisedRuns(workspace, models, built.regions, settings.device)
    asked = ZeroShotRuns(workspace, models, built, store, data, settings.seed, settings.fold)
    params = {"task": built.name, **settings.params(), "models": [model.ref for model in models]}
    params |= {"protocols": {ref: found.name for ref, found in protocols.items()}}
    params |= {**supervised.params, **user.params, **asked.params}
    made = [one for row in embedded.values() for one in row.artifacts]
    inputs = [*built.regions, *built.artifacts, *made, *supervised.inputs, *asked.artifacts]

    def write(build: Build) -> Artifact:
        import torch

        from geojepa_cli.evaluate.folds import probe_data
        from geojepa_cli.evaluate.plots.probe import plot_probe
        from geojepa_cli.evaluate.predictions import write_predictions
        from geojepa_cli.evaluate.probe import run_probe

        asked.ask()
        torch.set_num_threads(1)  # every thread fits one head, so that results do not depend on the number of threads
        rows, probed = probe_data(data)
        x = {label: vectors.read(store, rows, row.artifacts) for label, row in embedded.items()}
        x |= user.vectors(rows, settings.masked)
        shared = WITHOUT_SHARED if settings.without_shared else None
        fits = supervised.fits(store, data, rows, settings.masked, shared)
        with console.progress(f"probe {built.name}") as meter:
            given = settings.seeds, settings.labels, settings.threads, settings.fold, fits
            result = run_probe(probed, x, settings.heads, settings.seed, meter.update, *given)
        of_row = {label: row.model for label, row in embedded.items()} | supervised.rows(shared)
        of_row |= user.rows(settings.masked)
        names = {label: protocols[ref].name for label, ref in of_row.items()}
        random = " (RANDOM SPLIT)" if probed.random else ""
        title = f"{data.spec.title}{' (masked)' if settings.masked else ''}{random}"
        plot_probe(probed, result, title, data.spec.label.unit, build.partial / PLOT_FILE, names)
        result, zero_shot = asked.add(result, probed, settings.seed, settings.seeds)
        content = report_content(data, result, params, built, protocols, of_row | asked.rows)
        content |= supervised.report | zero_shot
        content |= user.report(content["evaluation_description"])
        if settings.without_shared:
            content["shared_entities"] = count_shared(store, data, settings.masked)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (build.partial / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
        of_heads = result.predictions, result.unrounded
        write_predictions(build.partial / PREDICTIONS_FILE, store, rows, probed, result.fold, *of_heads)
        counts = {"tiles": result.tiles, "tiles_unthinned": result.tiles_unthinned, "groups": result.groups}
        return build.publish(counts, asked.attribution, {"seed": settings.seed}, supervised.timing)

    return PROBES.make(workspace, f"{built.name}.{name_of_probe(models, user)}", params, inputs, write)
