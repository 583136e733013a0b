"""Embeddings: vectors of tiles and entities."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import DataError, GeojepaError, UsageError, unknown
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.evaluate.embed import Encode
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View


def _rebuild(remains: Remains) -> Hint:
    model, _, region = remains.name.partition(".")
    task, masked = remains.params.get("task"), bool(remains.params.get("masked"))
    return hints.run("embed", model=model, region=region or "R", task=task, masked=masked)


# schema 2: with `entity/osm_version`
EMBEDDINGS = Stage("embeddings", version=1, schema=2, rebuild=_rebuild, keep=("chunks/*.safetensors",))
TAGPOOL = "tagpool"


class Model(NamedTuple):
    """A model to embed with: a `models/` artifact, or the built-in TagPool, which has none."""

    name: str
    artifact: Artifact | None

    @property
    def ref(self) -> str:
        """`name@id`, or `tagpool`."""
        return self.artifact.ref if self.artifact else self.name


def find_model(workspace: Workspace, ref: str | None) -> Model:
    """The model named; without a name the newest in the workspace, or, with a note, TagPool where there is none.

    Raises:
        NotFoundError: no such model; says the nearest.
        DataError: the model is incomplete or of another schema: no other is taken in its place.
    """
    if ref == TAGPOOL:
        return Model(TAGPOOL, None)
    if ref is None:
        newest = workspace.newest("models")
        if newest is not None:
            return Model(newest.name, newest)
        console.note(
            f"no model in `{workspace.root}`: taking {TAGPOOL}, untrained pooling of tag embeddings; "
            "`geojepa pretrain` trains one"
        )
        return Model(TAGPOOL, None)
    names = workspace.names("models")
    if ref.partition("@")[0] not in names:
        hint = f"geojepa pretrain --config tiny.yaml --name {legal_name(ref.partition('@')[0])}"
        raise unknown("model", ref, [*names, TAGPOOL], hint=hint)
    artifact = workspace.find("models", ref)
    return Model(artifact.name, artifact)


def find_task_artifact(workspace: Workspace, processed: Artifact, task: str) -> Artifact:
    """The newest `tasks/<region>.<task>` made of these data.

    Raises:
        NotFoundError: an unknown task, or it was not built; the hint builds it.
    """
    prefix = f"{processed.name}."
    built = [name.removeprefix(prefix) for name in workspace.names("tasks") if name.startswith(prefix)]
    if task not in built:
        from geojepa_cli.tasks.spec import packed_tasks

        if task not in packed_tasks():
            hint = f"geojepa build-tasks --region {processed.name} --task TASK"
            raise unknown("task", task, [*packed_tasks(), *built], hint=hint)
    return workspace.derived("tasks", f"{processed.name}.{task}", processed)


def make_embeddings(
    workspace: Workspace,
    model: Model,
    processed: Artifact,
    task: Artifact | None = None,
    masked: bool = False,
    device: str = "auto",
    threads: int = 1,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> Artifact:
    """Publishes `embeddings/<model>.<region>`: `embeddings.h5`.

    Args:
        workspace: where.
        model: by `find_model`.
        processed: the region.
        task: embed the tiles of this task; None: all within the limits.
        masked: the task's masked view.
        device: `cpu`, `cuda` or `auto`.
        threads: of torch.
        limits: fewest and most entities of a tile, where there is no task.

    Raises:
        DataError: no tile is left, or the model cannot be read.
    """
    features = workspace.derived("features", processed.name, processed)
    task_name = task.params["task"]["name"] if task else None
    params: dict[str, object] = {"model": model.name, "task": task_name, "masked": masked}
    params |= {} if task else {"min_entities": limits.low, "max_entities": limits.high}
    images = _images(workspace, model, processed)
    inputs = [processed, features, *(item for item in (model.artifact, task, images) if item)]
    with EMBEDDINGS.build(workspace, f"{model.name}.{processed.name}", params, inputs) as build:
        if build.existing:
            return build.existing
        import torch

        from geojepa_cli.evaluate.embed import embed_region
        from geojepa_cli.store.features import open_features
        from geojepa_cli.store.store import TileStore

        torch.set_num_threads(threads)
        paths = [images.file("images.h5")] if images else None
        store = TileStore.open([processed.file("processed.h5")], paths, [processed.name])
        view = _view(store, task, masked, limits)
        tags = open_features([features.file("tags.h5")], store)
        encode, modalities = _encoder(model, tags.table, pick_device(device))
        attributes = {"model": model.ref, "region": processed.ref, "task": task_name or "", "masked": str(masked)}
        what = f"embed {processed.name} with {model.name}" + (f" for {task_name}" if task else "")
        if not store.lengths(view).any() and "image" not in modalities:
            hidden = f"the mask of `{task_name}` hides every entity" if masked else "there is no entity"
            raise DataError(
                f"{hidden} of all {len(view.tiles):,} tiles of `{processed.name}`",
                f"geojepa embed --task {shlex.quote(task_name)}" if task_name else None,
            )
        with console.progress(what, len(view.tiles)) as meter:
            needs = frozenset(Modality(name) for name in modalities)
            counts = embed_region(store, view, encode, build.partial, attributes, meter, needs)
        return build.publish(counts=counts, extra={"units": {"entity/size": "m² of areas, m of lines"}})


def model_config(model: Artifact) -> PretrainConfig:
    """The configuration that a model was trained with.

    Raises:
        DataError: its `config.yaml` is broken.
    """
    from geojepa_cli.config.schema import load_config

    try:
        return load_config(str(model.file("config.yaml")))
    except UsageError as error:  # nobody wrote this file by hand: it is data, not a wrong command
        raise model.broken(error.message) from error


def _view(store: TileStore, task: Artifact | None, masked: bool, limits: EntityLimits) -> View:
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.dataset import TaskData

    if task is None:
        check_tiles_left(store, limits)
        return View.default(store, *limits)
    view = TaskData.open(store, [task]).view(masked)
    if not len(view.tiles):
        region, name = store.regions[0].name, task.params["task"]["name"]
        raise DataError(
            f"tasks/{task.ref} has no tile", f"geojepa build-tasks --region {region} --task {name} --max-entities …"
        )
    return view


def _images(workspace: Workspace, model: Model, processed: Artifact) -> Artifact | None:
    """The images of the processed tiles where the model was trained with any."""
    if model.artifact is None or "image" not in model_config(model.artifact).model.modalities:
        return None
    return joined_images(workspace, processed)


def _encoder(model: Model, table: Tensor, device: str) -> tuple[Encode, tuple[str, ...]]:
    """What turns a batch into vectors, and the modalities it reads."""
    import torch

    from geojepa_cli.store.batch import TileBatch

    if model.artifact is None:
        from geojepa_cli.baselines.tagpool import TagPool

        module: torch.nn.Module = TagPool().to(device)
        modalities: tuple[str, ...] = ("tags",)
        width = table.shape[1]
    else:
        from geojepa_cli.models.jepa.load import load_encoder

        modalities = tuple(model_config(model.artifact).model.modalities)
        try:
            module, config = load_encoder(model.artifact.path, device)
        except GeojepaError as error:
            raise model.artifact.broken(error.message) from error
        width = config.model.embed_dim
    tags = table.to(device)

    @torch.inference_mode()
    def encode(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
        if not batch.n_tokens and (batch.images is None or not len(batch.images)):
            # a mask may leave nothing of a tile; in a batch of others its vector is zero too (`nn.pooling.max_mean`)
            return torch.zeros(batch.n_tiles, 2 * width), torch.zeros(0, width)
        vectors = module(batch.to(device), tags)
        return vectors.tiles, vectors.entities

    return encode, modalities
