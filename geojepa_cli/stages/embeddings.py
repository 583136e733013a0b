"""Stage `embeddings/`: computes embeddings of tiles and entities with a trained model or a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.config.images import DRAWN_LABEL, RANDOM_LABEL
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.stages.alpha import with_alpha
from geojepa_cli.stages.built_tasks import processed_of
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedded_view import check_entities, check_images, view_to_embed, view_without_shared
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings_rebuild import rebuild_embeddings
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.image_features import image_tokens, images_to_read
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Stage, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.embed import Chunks

# schema 2 added `entity/osm_version`; schema 3 stores text attributes with a fixed length; schema 4 added
# statistics of vectors
VARIANT = ("task", "masked", "without_shared", "alpha")
UNITS = {"units": {"entity/size": "m² of areas, m of lines"}}
EMBEDDINGS = Stage(
    "embeddings",
    version=1,
    schema=5,
    rebuild=rebuild_embeddings,
    keep=("chunks/*.safetensors",),
    variant=VARIANT,
    files=("embeddings.h5",),
)


def check_region(
    workspace: Workspace,
    model: Model,
    processed: Artifact,
    task: Artifact | None = None,
    masked: bool = False,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> int:
    """Checks that a region can be embedded. Commands check all regions before they embed the first one.

    Args:
        workspace: workspace that contains the artifacts.
        model: model or baseline that will compute the embeddings.
        processed: `processed/` artifact of the region.
        task: `tasks/` artifact whose tiles will be embedded; None for all tiles within the limits.
        masked: hide the tags and entities that reveal the label of the task.
        limits: minimum and maximum number of entities in a tile. Ignored if a task is given.

    Returns:
        Number of tiles to embed.

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
    return len(view.tiles)


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
    settings = masked, device, threads, limits, without_shared, alpha
    return RegionEmbedding.find(workspace, model, processed, task, *settings).make()


@dataclass(frozen=True)
class RegionEmbedding:
    """An artifact `embeddings/<model>.<region>`, which may not exist yet, and what it is made from.

    Attributes:
        workspace, model, processed, task, masked, device, threads, limits, without_shared, alpha: arguments of
            `make_embeddings`.
        features: tag embeddings of the region.
        geometry, images, tokens: geometry vectors, images and image tokens of the region. Each is None if the model
            does not read it.
    """

    workspace: Workspace
    model: Model
    processed: Artifact
    task: Artifact | None
    masked: bool
    device: str
    threads: int
    limits: EntityLimits
    without_shared: Sequence[Artifact]
    alpha: float
    features: Artifact
    geometry: Artifact | None
    images: Artifact | None
    tokens: Artifact | None

    @classmethod
    def find(
        cls,
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
    ) -> RegionEmbedding:
        """Finds the inputs. Computes the geometry vectors and image tokens if they do not exist yet.

        The arguments and errors are those of `make_embeddings`.
        """
        given = workspace, model, processed, task, masked, device, threads, limits, without_shared, alpha
        features = model.tag_features(workspace, processed)
        geometry = model.geometry_features(workspace, processed, threads)
        return cls(*given, features, geometry, *images_of_model(workspace, model, processed, device, threads))

    @property
    def task_name(self) -> str | None:
        """Name of the task whose tiles are embedded. None for all tiles within the limits."""
        return self.task.params["task"]["name"] if self.task else None

    def make(self) -> Artifact:
        """Publishes the artifact, unless it exists."""

        def write(build: Build) -> Artifact:
            from geojepa_cli.evaluate.embed import embed_chunks

            chunks = self.open_chunks(build.partial)
            suffix = f" for {self.task_name}" if self.task else ""
            title = f"embed {self.processed.name} with {self.model.name}{suffix}"
            with console.progress(title, chunks.n_tiles) as meter:
                counts = embed_chunks(chunks, build.partial, meter)
            timing = {"device": str(pick_device(self.device)), "threads": self.threads}
            return build.publish(counts, self.model.attribution, UNITS, timing)

        return EMBEDDINGS.make(self.workspace, *self._identity(), write)

    def build(self) -> AbstractContextManager[Build]:
        """Context manager that locks the artifact while several processes make its chunks."""
        return EMBEDDINGS.build(self.workspace, *self._identity())

    def open_chunks(self, folder: Path) -> Chunks:
        """Loads the model, and returns the chunks of the region.

        Args:
            folder: folder in which the artifact is built.

        Raises:
            DataError: there is no tile to embed, or a file is damaged.
        """
        import torch

        from geojepa_cli.evaluate.embed import open_chunks
        from geojepa_cli.store.store import TileStore

        torch.set_num_threads(self.threads)
        store = TileStore.open(**_files(self.processed, self.images, self.geometry, self.tokens))
        if self.without_shared:
            view = view_without_shared(self.workspace, self.without_shared, self.processed, self.masked)
        else:
            view = view_to_embed(store, self.task, self.masked, self.limits)
        embedder = with_alpha(open_embedder(self.model, store, [self.features], self.device), self.alpha)
        check_entities(store, view, embedder.needs, self.task_name, self.masked)
        check_images(store, view, embedder.needs)
        about = {"model": self.model.ref, "region": self.processed.ref, "task": self.task_name or ""}
        about |= {"masked": str(self.masked)} | ({"alpha": f"{self.alpha:g}"} if self.alpha else {})
        return open_chunks(store, view, embedder, folder, about, pick_device(self.device))

    def _identity(self) -> tuple[str, dict[str, object], list[Artifact]]:
        """Returns the name, parameters and inputs of the artifact."""
        task, shared = self.task, bool(self.without_shared)
        params = _params(self.model, task, self.masked, self.limits, shared, self.alpha)
        params |= {"images": DRAWN_LABEL} if shows_drawn_images(self.images, self.model.artifact) else {}
        read = self.model.artifact, task, self.geometry, self.images, self.tokens
        others = [one for one in self.without_shared if one != task]
        inputs = [self.processed, self.features, *filter(None, read), *others]
        inputs += [processed_of(self.workspace, one) for one in others]
        return f"{self.model.name}.{self.processed.name}", params, inputs


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
