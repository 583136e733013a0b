"""Stage `embeddings/`: computes embeddings of tiles and entities with a trained model or a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geojepa_cli import console, hints
from geojepa_cli.config.images import DRAWN_LABEL, RANDOM_LABEL
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.alpha import check_alpha_of, with_alpha
from geojepa_cli.stages.built_tasks import Tasks, find_tasks, processed_of
from geojepa_cli.stages.device import check_device, pick_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedded_view import check_entities, check_images, view_to_embed, view_without_shared
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings_rebuild import rebuild_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.image_features import image_tokens, images_to_read
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

# schema 2 added `entity/osm_version`; schema 3 stores text attributes with a fixed length; schema 4 added
# statistics of vectors
VARIANT = ("task", "masked", "without_shared", "alpha")
UNITS = {"units": {"entity/size": "m² of areas, m of lines"}}
EMBEDDINGS = Stage(
    "embeddings",
    version=1,
    schema=4,
    rebuild=rebuild_embeddings,
    keep=("chunks/*.safetensors",),
    variant=VARIANT,
    files=("embeddings.h5",),
)


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
    alpha: float = 0.0,
) -> list[Artifact]:
    """Computes embeddings of the tiles and entities of one or several regions.

    Args:
        workspace: workspace to read from and publish to.
        model: name, or `models/` artifact. Default: the newest model; without one, the model that comes with geojepa.
        region: names of regions, or `processed/` artifacts. Default: the regions of the artifacts in `task` or, if
            there are none, the only region in the workspace.
        task: task (name or `tasks/` artifacts) whose tiles are embedded. Default: all tiles within the limits below.
        masked: hide the tags and entities that reveal the label of the task.
        min_entities: minimum number of entities in a tile. Cannot be combined with `task`. Default: 5.
        max_entities: maximum number of entities in a tile. Cannot be combined with `task`. Default: 1250.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads.
        alpha: weight of the entity alone in the vectors of entities, 0 to 1 (ADR 24). Does not change vectors of tiles.

    Returns:
        One `embeddings/` artifact per region.

    Raises:
        UsageError: arguments cannot be combined.
        NotFoundError: there is no such model, region or task.
        DataError: there is no tile to embed, or the model is damaged.
    """
    if masked and task is None:
        message = "`--masked` requires `--task`: it hides what reveals the label of a task"
        raise UsageError(message, hints.again(task="max_speed"))
    if task is not None and (min_entities is not None or max_entities is not None):
        limits = {"min_entities": min_entities, "max_entities": max_entities}
        raise UsageError(
            "`--task` cannot be combined with `--min-entities` and `--max-entities`: the task sets these limits",
            hints.run("build-tasks", task=task if isinstance(task, str) else None, **limits),
        )
    chosen_limits = entity_limits(min_entities, max_entities)
    check_device(device)
    pairs: list[tuple[Artifact, Artifact | None]]
    if task is None:
        pairs = [(one, None) for one in find_regions(workspace, "processed", region)]
    else:
        pairs = list(zip(*find_tasks(workspace, task, region), strict=True))
    chosen = find_model(workspace, model, [processed for processed, _ in pairs])
    alpha = check_alpha_of(chosen, alpha)
    for processed, built in pairs if len(pairs) > 1 else ():
        check_region(workspace, chosen, processed, built, masked, chosen_limits)
    return [
        make_embeddings(workspace, chosen, processed, built, masked, device, threads, chosen_limits, alpha=alpha)
        for processed, built in pairs
    ]


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
        NotFoundError: the region has no `features/` artifact, or the weights of the model's geometry encoder or image
            encoder do not exist.
        DataError: there is no tile to embed, or the model is damaged.
    """
    from geojepa_cli.store.store import TileStore

    model.tag_features(workspace, processed)
    model.geometry(workspace, processed)
    model.images(workspace, images_to_read(workspace, processed, model.needs()))
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
    alpha: float = 0.0,
) -> Artifact:
    """Publishes the artifact `embeddings/<model>.<region>` with the file `embeddings.h5`.

    Args:
        workspace, model: workspace to publish to; model or baseline that computes the embeddings.
        processed: `processed/` artifact of the region.
        task: `tasks/` artifact whose tiles are embedded; None to embed all tiles within the limits.
        masked: hide the tags and entities that reveal the label of the task.
        device, threads: device (`cpu`, `cuda` or `auto`); number of CPU threads.
        limits, alpha: number of entities in a tile, ignored if a task is given; weight of the entity alone (ADR 24).
        without_shared: the `tasks/` artifacts of all regions, to hide OSM elements in several zoom-14 tiles; or empty.

    Raises:
        DataError: there is no tile to embed, or the model is damaged.
    """
    features = model.tag_features(workspace, processed)
    geometry = model.geometry_features(workspace, processed, threads)
    params = _params(model, task, masked, limits, bool(without_shared), alpha)
    images, tokens = images_of_model(workspace, model, processed, device, threads)
    params |= {"images": DRAWN_LABEL} if shows_drawn_images(images, model.artifact) else {}
    others = [one for one in without_shared if one != task]
    inputs = [processed, features, *filter(None, (model.artifact, task, geometry, images, tokens)), *others]
    inputs += [processed_of(workspace, one) for one in others]
    task_name = task.params["task"]["name"] if task else None

    def write(build: Build) -> Artifact:
        import torch

        from geojepa_cli.evaluate.embed import embed_region
        from geojepa_cli.store.store import TileStore

        torch.set_num_threads(threads)
        store = TileStore.open(**_files(processed, images, geometry, tokens))
        if without_shared:
            view = view_without_shared(workspace, without_shared, processed, masked)
        else:
            view = view_to_embed(store, task, masked, limits)
        embedder = with_alpha(open_embedder(model, store, [features], device), alpha)
        check_entities(store, view, embedder.needs, task_name, masked)
        check_images(store, view, embedder.needs)
        about = {"model": model.ref, "region": processed.ref, "task": task_name or "", "masked": str(masked)}
        about |= {"alpha": f"{alpha:g}"} if alpha else {}
        title = f"embed {processed.name} with {model.name}{f' for {task_name}' if task_name else ''}"
        with console.progress(title, len(view.tiles)) as meter:
            counts = embed_region(store, view, embedder, build.partial, about, meter, pick_device(device))
        return build.publish(counts, model.attribution, UNITS, {"device": str(pick_device(device)), "threads": threads})

    return EMBEDDINGS.make(workspace, f"{model.name}.{processed.name}", params, inputs, write)


def images_of_model(
    workspace: Workspace, model: Model, processed: Artifact, device: str, threads: int
) -> tuple[Artifact | None, Artifact | None]:
    """Returns the `images/` artifact and the artifact with image tokens. Each is None if the model does not read it."""
    images = images_to_read(workspace, processed, model.needs())
    source = model.images(workspace, images)
    tokens = image_tokens(workspace, images, source, device, threads) if images and source else None
    return images, tokens


def _params(
    model: Model, task: Artifact | None, masked: bool, limits: EntityLimits, without_shared: bool, alpha: float
) -> dict[str, object]:
    params: dict[str, object] = {**model.params, "task": task.params["task"]["name"] if task else None}
    params |= (
        {"masked": masked} if task else {"masked": masked, "min_entities": limits.low, "max_entities": limits.high}
    )
    params |= {"without_shared": True} if without_shared else {}
    params |= {"alpha": alpha} if alpha else {}
    params |= {"image_encoder": RANDOM_LABEL} if model.has_random_images() else {}
    return params


def _files(
    processed: Artifact, images: Artifact | None, geometry: Artifact | None, tokens: Artifact | None
) -> dict[str, Any]:
    """Returns the arguments of `TileStore.open` for one region."""
    return {
        "paths": [processed.file(PROCESSED_FILE)],
        "images": [images.file(IMAGES_FILE)] if images else None,
        "names": [processed.name],
        "geometry": [geometry.file(GEOMETRY_FILE)] if geometry else None,
        "image_tokens": [tokens.file(TOKENS_FILE)] if tokens else None,
    }
