"""Stage `embeddings/`: computes embeddings of tiles and entities with a trained model or a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.errors import GeojepaError, NotFoundError, UsageError, unknown
from geojepa_cli.models.registry import BASELINES, DEFAULT_BASELINE, baseline_needs, open_baseline, open_published
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.built_tasks import Tasks, find_tasks, processed_of
from geojepa_cli.stages.device import check_device, pick_device
from geojepa_cli.stages.embedded_view import check_entities, view_to_embed, view_without_shared
from geojepa_cli.stages.embeddings_rebuild import rebuild_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, Stage, as_command, check_own, find_regions, rebuilding
from geojepa_cli.stages.training import CONFIG, model_config
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder, FrozenInputs

TAGPOOL = DEFAULT_BASELINE
BEST = "-best"  # suffix of a model's name
BEST_WEIGHTS = "weights-best.safetensors"

# schema 2 added `entity/osm_version`; schema 3 stores text attributes with a fixed length
VARIANT = ("task", "masked", "without_shared")
EMBEDDINGS = Stage(
    "embeddings",
    version=1,
    schema=3,
    rebuild=rebuild_embeddings,
    keep=("chunks/*.safetensors",),
    variant=VARIANT,
    files=("embeddings.h5",),
)


class Model(NamedTuple):
    """A trained model or baseline that computes embeddings.

    Attributes:
        name: name of the `models/` artifact, or name of the baseline.
        artifact: `models/` artifact of a trained model; None for a baseline.
        best: use the weights that the figure `train.select` chose, instead of the last ones. The name of the model is
            then the name of the artifact with the suffix `-best`.
    """

    name: str
    artifact: Artifact | None = None
    best: bool = False

    @property
    def ref(self) -> str:
        """Reference to the model: `name@id` for a trained model, the name for a baseline."""
        return f"{self.name}@{self.artifact.id}" if self.artifact else self.name

    def needs(self) -> Needs:
        """Returns the modalities that the model reads.

        Raises:
            DataError: `config.yaml` of the model is damaged.
        """
        return baseline_needs(self.name) if self.artifact is None else model_config(self.artifact).needs

    def open(self, inputs: FrozenInputs) -> Embedder:
        """Loads the model, and returns an `Embedder`, which computes embeddings.

        Args:
            inputs: text embeddings of all tags. The model is loaded onto the device that contains them.

        Raises:
            DataError: the files of the model are damaged.
        """
        if self.artifact is None:
            return open_baseline(self.name, inputs)
        config = model_config(self.artifact)
        try:
            return open_published(self.artifact.path, config.family, inputs, self.best)
        except GeojepaError as error:
            raise self.artifact.broken(error.message) from error


@as_command("embed")
def embed(
    workspace: Workspace,
    model: str | Artifact | None = None,
    region: Regions = None,
    task: Tasks | None = None,
    masked: bool = False,
    min_entities: int | None = None,
    max_entities: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> list[Artifact]:
    """Computes embeddings of the tiles and entities of one or several regions.

    Args:
        workspace: workspace to read from and publish to.
        model: `name` or `name@id` of a model, name of a baseline, or `models/` artifact. Default: the newest model.
        region: names of regions, or `processed/` artifacts. Default: the regions of the artifacts in `task` or, if
            there are none, the only region in the workspace.
        task: task (name or `tasks/` artifacts) whose tiles are embedded. Default: all tiles within the limits below.
        masked: hide the tags and entities that reveal the label of the task.
        min_entities: minimum number of entities in a tile. Cannot be combined with `task`. Default: 5.
        max_entities: maximum number of entities in a tile. Cannot be combined with `task`. Default: 1250.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads.

    Returns:
        One `embeddings/` artifact per region.

    Raises:
        UsageError: arguments cannot be combined.
        NotFoundError: there is no such model, region or task.
        DataError: there is no tile to embed, or the model is damaged.
    """
    if masked and task is None:
        raise UsageError(
            "`--masked` requires `--task`: it hides what reveals the label of a task", hints.again(task="max_speed")
        )
    if task is not None and (min_entities is not None or max_entities is not None):
        limits = {"min_entities": min_entities, "max_entities": max_entities}
        raise UsageError(
            "`--task` cannot be combined with `--min-entities` and `--max-entities`: the task sets these limits",
            hints.run("build-tasks", task=task if isinstance(task, str) else None, **limits),
        )
    chosen_limits = entity_limits(min_entities, max_entities)
    check_device(device)
    chosen = find_model(workspace, model)
    regions: list[Artifact]
    tasks: Sequence[Artifact | None]
    if task is None:
        regions = find_regions(workspace, "processed", region)
        tasks = [None] * len(regions)
    else:
        regions, tasks = find_tasks(workspace, task, region)
    pairs = list(zip(regions, tasks, strict=True))
    for processed, built in pairs if len(pairs) > 1 else ():
        check_region(workspace, chosen, processed, built, masked, chosen_limits)
    return [
        make_embeddings(workspace, chosen, processed, built, masked, device, threads, chosen_limits)
        for processed, built in pairs
    ]


def find_model(workspace: Workspace, ref: str | Artifact | None) -> Model:
    """Finds a model or baseline.

    Args:
        workspace: workspace to search.
        ref: `name` or `name@id` of a model, name of a baseline, or `models/` artifact. With the suffix `-best` of the
            name: the model's weights that the figure `train.select` chose. None selects the newest model or, if the
            workspace has no model, the default baseline; a note is then printed.

    Raises:
        UsageError: `ref` is neither text nor a `models/` artifact of this workspace.
        NotFoundError: there is no such model. The message suggests the most similar name.
        DataError: the model is incomplete or has another schema version. No older model is used instead.
    """
    check_own(workspace, ref)
    if isinstance(ref, Artifact) and ref.kind == "models":
        return Model(ref.name, ref)
    if ref is not None and not isinstance(ref, str):
        raise wrong_type(
            "model", ref, "the name of a model or its `models` artifact", 'workspace.find("models", "NAME")'
        )
    if ref in BASELINES:
        return Model(ref)
    if ref is None:
        newest = workspace.newest("models")
        if newest is not None:
            return Model(newest.name, newest)
        console.note(
            f"there is no trained model in `{workspace.root}`: using the baseline {DEFAULT_BASELINE}, which needs no "
            "training; `geojepa pretrain` trains a model"
        )
        return Model(DEFAULT_BASELINE)
    names = workspace.names("models")
    name, at, id_ = ref.partition("@")
    plain = name.removesuffix(BEST)
    if name not in names and name != plain and plain in names:
        artifact = workspace.find("models", f"{plain}{at}{id_}")
        _check_best(artifact)
        return Model(name, artifact, best=True)
    if name not in names:
        hint = hints.run("pretrain", config="tiny.yaml", name=legal_name(name))
        raise unknown("model", ref, [*names, *BASELINES], hint, "--model")
    artifact = workspace.find("models", ref)
    return Model(artifact.name, artifact)


def _check_best(model: Artifact) -> None:
    if not (model.path / BEST_WEIGHTS).is_file():
        hint = hints.run("pretrain", config=model.path / CONFIG, name=model.name, set={"train.select": "rankme_tiles"})
        raise NotFoundError(f"`{model.full_ref}` has only its last weights, no `{BEST_WEIGHTS}`", hint)


def check_region(
    workspace: Workspace,
    model: Model,
    processed: Artifact,
    task: Artifact | None = None,
    masked: bool = False,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> None:
    """Checks that a region can be embedded. Commands check all regions before they embed the first one.

    Args:
        workspace: workspace that contains the artifacts.
        model: model or baseline that will compute the embeddings.
        processed: `processed/` artifact of the region.
        task: `tasks/` artifact whose tiles will be embedded; None for all tiles within the limits.
        masked: hide the tags and entities that reveal the label of the task.
        limits: minimum and maximum number of entities in a tile. Ignored if a task is given.

    Raises:
        NotFoundError: the region has no `features/` artifact.
        DataError: there is no tile to embed, or the model is damaged.
    """
    from geojepa_cli.store.store import TileStore

    workspace.derived("features", processed.name, processed)
    with rebuilding(processed):
        store = TileStore.open([processed.file(PROCESSED_FILE)], names=[processed.name])
        view = view_to_embed(store, task, masked, limits)
        check_entities(store, view, model.needs(), task.params["task"]["name"] if task else None, masked)


def make_embeddings(
    workspace: Workspace,
    model: Model,
    processed: Artifact,
    task: Artifact | None = None,
    masked: bool = False,
    device: str = "auto",
    threads: int = 1,
    limits: EntityLimits = DEFAULT_LIMITS,
    without_shared: Sequence[Artifact] = (),
) -> Artifact:
    """Publishes the artifact `embeddings/<model>.<region>` with the file `embeddings.h5`.

    Args:
        workspace, model: workspace to publish to; model or baseline that computes the embeddings.
        processed: `processed/` artifact of the region.
        task: `tasks/` artifact whose tiles are embedded; None to embed all tiles within the limits.
        masked: hide the tags and entities that reveal the label of the task.
        device, threads: device (`cpu`, `cuda` or `auto`); number of CPU threads.
        limits: minimum and maximum number of entities in a tile. Ignored if a task is given.
        without_shared: the task's artifacts in all regions. If given, OSM elements in several zoom-14 tiles are hidden.

    Raises:
        DataError: there is no tile to embed, or the model is damaged.
    """
    features = workspace.derived("features", processed.name, processed)
    task_name = task.params["task"]["name"] if task else None
    params: dict[str, object] = {"model": model.name, "task": task_name, "masked": masked}
    params |= {} if task else {"min_entities": limits.low, "max_entities": limits.high}
    params |= {"without_shared": True} if without_shared else {}
    images = joined_images(workspace, processed) if Modality.IMAGE in model.needs() else None
    others = [one for one in without_shared if one != task]
    inputs = [processed, features, *(item for item in (model.artifact, task, images) if item), *others]
    inputs += [processed_of(workspace, one) for one in others]

    def write(build: Build) -> Artifact:
        import torch

        from geojepa_cli.evaluate.embed import embed_region
        from geojepa_cli.models.base import FrozenInputs
        from geojepa_cli.store.features import open_features
        from geojepa_cli.store.store import TileStore

        torch.set_num_threads(threads)
        image_files = [images.file(IMAGES_FILE)] if images else None
        store = TileStore.open([processed.file(PROCESSED_FILE)], image_files, [processed.name])
        if without_shared:
            view = view_without_shared(workspace, without_shared, processed, masked)
        else:
            view = view_to_embed(store, task, masked, limits)
        tags = open_features([features.file(FEATURES_FILE)], store)
        embedder = model.open(FrozenInputs(tags.table.to(pick_device(device))))
        check_entities(store, view, embedder.needs, task_name, masked)
        attributes = {"model": model.ref, "region": processed.ref, "task": task_name or "", "masked": str(masked)}
        title = f"embed {processed.name} with {model.name}" + (f" for {task_name}" if task_name else "")
        with console.progress(title, len(view.tiles)) as meter:
            counts = embed_region(store, view, embedder, build.partial, attributes, meter, pick_device(device))
        return build.publish(counts=counts, extra={"units": {"entity/size": "m² of areas, m of lines"}})

    return EMBEDDINGS.make(workspace, f"{model.name}.{processed.name}", params, inputs, write)
