"""`geojepa embed`: the vectors of a region's tiles and entities by one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import UsageError, unknown
from geojepa_cli.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.embed import Encode
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View

STAGE_VERSION = 1
TAGPOOL = "tagpool"
LIMITS = (5, 1250)


class Model(NamedTuple):
    """A model to embed with: a `models/` artifact, or the built-in TagPool, which has none."""

    name: str
    artifact: Artifact | None

    @property
    def ref(self) -> str:
        """`name@id`, or `tagpool`."""
        return self.artifact.ref if self.artifact else self.name


def embed(
    ctx: typer.Context,
    model: options.Model = None,
    region: options.Regions = None,
    task: Annotated[str | None, typer.Option("--task", help="Embed the tiles of this task.")] = None,
    masked: Annotated[bool, typer.Option("--masked", help="With --task: hide what the task asks for.")] = False,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Embed the tiles and entities of a region.

    Example: geojepa embed --model tiny --region state-college
    """
    if masked and task is None:
        raise UsageError(
            "--masked hides what a task asks for, so it needs one", "geojepa embed --task max_speed --masked"
        )
    check_device(device)
    workspace = options.workspace(ctx)
    chosen = find_model(workspace, model)
    for processed in workspace.regions("processed", region):
        tasks = find_task_artifact(workspace, processed, task) if task else None
        made = build_embeddings(workspace, chosen, processed, tasks, masked, device, threads)
        counts = made.manifest["counts"]
        if json:
            console.emit_json("embed", made.ref, {"model": chosen.ref, "region": processed.ref, "counts": counts})
            continue
        rows = [(name, f"{value:,}") for name, value in counts.items()]
        console.table(f"embeddings/{made.ref}", ["", "count"], rows, caption=str(made.path))


def find_model(workspace: Workspace, ref: str | None) -> Model:
    """The model named; without a name the newest in the workspace, or TagPool where there is none.

    Raises:
        NotFoundError: no such model; says the nearest.
    """
    if ref == TAGPOOL:
        return Model(TAGPOOL, None)
    if ref is None:
        models = workspace.artifacts("models")
        return Model(models[-1].name, models[-1]) if models else Model(TAGPOOL, None)
    names = workspace.names("models")
    if ref.partition("@")[0] not in names:
        raise unknown("model", ref, [*names, TAGPOOL], hint=f"geojepa pretrain --config tiny.yaml --name {ref}")
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


def build_embeddings(
    workspace: Workspace,
    model: Model,
    processed: Artifact,
    task: Artifact | None = None,
    masked: bool = False,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Publishes `embeddings/<model>.<region>`: `embeddings.h5`.

    Args:
        workspace: where.
        model: by `find_model`.
        processed: the region.
        task: embed the tiles of this task; None: all within the default limits.
        masked: the task's masked view.
        device: `cpu`, `cuda` or `auto`.
        threads: of torch.
    """
    features = workspace.derived("features", processed.name, processed)
    task_name = task.params["task"]["name"] if task else None
    params: dict[str, object] = {"model": model.name, "task": task_name, "masked": masked}
    params |= {} if task else {"min_entities": LIMITS[0], "max_entities": LIMITS[1]}
    images = _images(workspace, model, processed)
    inputs = [processed, features, *(item for item in (model.artifact, task, images) if item)]
    with workspace.build("embeddings", f"{model.name}.{processed.name}", params, inputs, STAGE_VERSION, True) as build:
        if build.existing:
            return build.existing
        import torch

        from geojepa_cli.evaluate.embed import embed_region
        from geojepa_cli.store.features import open_features
        from geojepa_cli.store.store import TileStore

        torch.set_num_threads(threads)
        paths = [images.file("images.h5")] if images else None
        store = TileStore.open([processed.file("processed.h5")], paths, [processed.name])
        view = _view(store, task, masked)
        tags = open_features([features.file("tags.h5")], store)
        encode, modalities = _encoder(model, tags.table, pick_device(device))
        attributes = {"model": model.ref, "region": processed.ref, "task": task_name or "", "masked": str(masked)}
        what = f"embed {processed.name} with {model.name}" + (f" for {task_name}" if task else "")
        with console.progress(what, len(view.tiles)) as meter:
            counts = embed_region(
                store, view, encode, build.partial, attributes, meter, "geometry" in modalities, "image" in modalities
            )
        return build.publish(counts=counts, extra={"units": {"entity/size": "m² of areas, m of lines"}})


def check_device(wanted: str) -> None:
    """UsageError where this is no name of a device; whether there is one is known after torch is loaded."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device `{wanted}`", "--device cpu, cuda or auto")


def pick_device(wanted: str) -> str:
    """`cpu` or `cuda`.

    Raises:
        UsageError: neither, or there is no such device.
    """
    import torch

    check_device(wanted)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("this installation of torch sees no CUDA device", "--device cpu")
    return wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _view(store: TileStore, task: Artifact | None, masked: bool) -> View:
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.dataset import TaskData

    return TaskData.open(store, [task]).view(masked) if task else View.default(store, *LIMITS)


def _images(workspace: Workspace, model: Model, processed: Artifact) -> Artifact | None:
    """The region's newest images where the model was trained with any."""
    if model.artifact is None:
        return None
    from geojepa_cli.config import load_config

    config = load_config(str(model.artifact.file("config.yaml")))
    found = workspace.artifacts("images", processed.name) if "image" in config.model.modalities else []
    return found[-1] if found else None


def _encoder(model: Model, table: object, device: str) -> tuple[Encode, tuple[str, ...]]:
    """What turns a batch into vectors, and the modalities it reads."""
    import torch

    from geojepa_cli.store.batch import TileBatch

    if model.artifact is None:
        from geojepa_cli.nn.baselines import TagPool

        module: torch.nn.Module = TagPool().to(device)
        modalities: tuple[str, ...] = ("tags",)
    else:
        from geojepa_cli.train.load import load_encoder

        module, config = load_encoder(model.artifact.path, device)
        modalities = tuple(config.model.modalities)
    assert isinstance(table, torch.Tensor)
    tags = table.to(device)

    @torch.inference_mode()
    def encode(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = module(batch.to(device), tags)
        return vectors.tiles, vectors.entities

    return encode, modalities
