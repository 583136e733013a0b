"""Protocols that models implement: `Pretrainable` for training, `Embedder` for computing embeddings of tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from geojepa_cli.config.modality import Needs
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.geometry import GeometryKind
from geojepa_cli.store.image_tokens import ImageTokenKind
from geojepa_cli.store.photo_table import PhotoBatch, PhotoTable
from geojepa_cli.store.tile_parts import TileParts
from geojepa_cli.tags.frequent import KEY, frequent_tags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.models.image_encoders import FrozenImageEncoder


@dataclass(frozen=True)
class TagList:
    """Distinct tags of a dataset. The row indices are the tag ids in `TileBatch.tag_ids`.

    Attributes:
        keys: key of each tag.
        values: value of each tag.
        counts: number of entities with the tag in the tiles to train on. None: not counted. int64 [V]
    """

    keys: Sequence[str]
    values: Sequence[str]
    counts: NDArray[np.int64] | None = None

    def texts(self) -> Iterator[str]:
        """Yields each tag as `key=value`."""
        return (f"{key}={value}" for key, value in zip(self.keys, self.values, strict=True))

    def frequent_columns(self) -> Tensor:
        """Returns the column of each tag, and that of its key, in the list `tags.frequent` of tags and keys.

        A tag or key that is not in the list gets the number of columns. int64 [2, V]
        """
        place = {text: column for column, text in enumerate(frequent_tags())}
        texts = (self.texts(), (KEY.format(key) for key in self.keys))
        return torch.tensor([[place.get(text, len(place)) for text in kind] for kind in texts], dtype=torch.int64)


@dataclass(frozen=True)
class FrozenInputs:
    """Inputs that are computed before training and do not change.

    Models read the text embeddings of tags together with batches of tiles. Geometry vectors and image tokens are part
    of the batches.

    Attributes:
        tag_table: text embedding of every distinct tag in the dataset, on the model's device. The row indices are the
            tag ids in `TileBatch.tag_ids`. float32 [V, E]
        geometry: name and version of the encoder of the geometry vectors in the batches. None: the batches have none.
        images: name and version of the encoder of the image tokens in the batches. None: the batches have none.
        image_encoder: the encoder in `images`, loaded on the model's device. The training step computes image tokens
            with it. None: the training step computes no image tokens.
        tags: keys and values of the tags in `tag_table`. Only models that count tags need them. None: unknown.
        photos: street-level photos of the regions, for models that compare them with images. None: there are none.
    """

    tag_table: Tensor
    geometry: GeometryKind | None = None
    images: ImageTokenKind | None = None
    image_encoder: FrozenImageEncoder | None = None
    tags: TagList | None = None
    photos: PhotoTable | None = None

    @property
    def tag_list(self) -> TagList:
        """Keys and values of the tags.

        Raises:
            ValueError: keys and values are unknown.
        """
        if self.tags is None:
            raise ValueError("the model counts tags: pass their keys and values")
        return self.tags

    @property
    def device(self) -> torch.device:
        """Device that the tag embeddings and the model are on."""
        return self.tag_table.device

    def to(self, device: torch.device | str) -> FrozenInputs:
        """Returns a copy on a device."""
        encoder = None if self.image_encoder is None else self.image_encoder.to(device)
        return replace(self, tag_table=self.tag_table.to(device), image_encoder=encoder)


@dataclass(frozen=True)
class BatchVectors:
    """Embedding vectors of the entities and tiles of one batch.

    Attributes:
        entities: one vector per entity, in the order of the batch. An entity is the part of a tagged OSM element that
            lies inside one tile. float [T, D]
        tiles: one vector per tile. float [B, W]
        patches: one vector per image patch, for monitoring. None if the model has no tokens of patches. float [P, D]
        tile_parts: name and width of each part of a tile vector, in order; empty if a tile vector has no known parts
        places: one vector of the location of each entity, in the order of the batch. None if the model has no location
            encoder. float [T, E]
    """

    entities: Tensor
    tiles: Tensor
    patches: Tensor | None = None
    tile_parts: TileParts = ()
    places: Tensor | None = None


class Embedder(Protocol):
    """Interface of a model that computes embeddings.

    A baseline is a class with the members `name`, `needs` and `encode`, and a constructor that takes `FrozenInputs`.
    `models.registry` explains how to add a baseline.

    Attributes:
        name: name of the model for the option `--model`.
        needs: modalities that the model reads. Batches must contain them.
    """

    name: str
    needs: Needs

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Returns the embeddings of the entities and tiles of a batch. The caller disables gradients.

        Args:
            batch: tiles to embed, on the model's device. The batch has at least one entity, or at least one image if
                the model reads images. A tile may have no entity. The vector of such a tile must not depend on the
                other tiles in the batch.
        """


@runtime_checkable
class PointReader(Embedder, Protocol):
    """Interface of an `Embedder` that reads images at any point. Its vectors have length 1 and can be compared.

    The caller disables gradients. Inputs are on the model's device.
    """

    def feature_maps(self, images: Tensor) -> Tensor:
        """Encodes images, uint8 [N, 3, 224, 224], as maps of features, which `at_points` reads. [N, D, h, w]"""

    def at_points(self, features: Tensor, uv: Tensor, image: Tensor) -> Tensor:
        """Returns the vectors of points in images.

        Args:
            features: result of `feature_maps`. [N, D, h, w]
            uv: points in their images: u from 0 (west) to 1 (east), v from 0 (north) to 1 (south). [Q, 2]
            image: index of each point's image. int64 [Q]
        Returns:
            Vectors. [Q, D]
        """

    def at_places(self, lonlat: Tensor) -> Tensor:
        """Returns the vectors of locations, given by longitude and latitude in degrees. float64 [Q, 2] -> [Q, D]"""

    def describe(self, batch: TileBatch) -> Tensor:
        """Returns the vectors of what the tags, kinds and sizes of the entities of a batch say. [T, D]

        Raises:
            DataError: the tags of the batch were embedded by another text encoder than those of the training data.
        """

    def describe_photos(self, photos: PhotoBatch) -> Tensor:
        """Returns the vectors of what photos show. [P, D]

        Raises:
            ValueError: the model was trained without photos.
        """


@dataclass(frozen=True)
class StepLosses:
    """Losses of a training step on one batch.

    Attributes:
        loss: total loss to minimise, a scalar with gradient.
        parts: dict of the total loss and its terms, for the training log. The total loss has the key `loss`. All values
            are scalars without gradient.
        tokens: number of tokens in the batch.
        rows: integers that the model wants from all batches of a step, see `Collecting`. None: no such integers.
            int64 [n, k]
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    tokens: int
    rows: Tensor | None = None


@runtime_checkable
class Collecting(Protocol):
    """Interface of a `Pretrainable` that keeps data of earlier steps, such as a queue of negatives."""

    def collect(self, rows: Tensor) -> None:
        """Receives the rows (`StepLosses.rows`) of all batches of a step, in the order of the batches.

        Called after each optimiser step. Every process of the run gets the rows of the batches of all processes, so the
        trained model does not depend on the number of processes.

        Args:
            rows: rows of all batches, on the model's device. int64 [n, k]
        """


class Batch(Protocol):
    """Data of one training step: a `TileBatch`, or a batch of another kind of training data."""

    @property
    def n_tiles(self) -> int:
        """Number of samples in the batch."""


BatchT = TypeVar("BatchT", bound=Batch, contravariant=True)


class Pretrainable(Protocol[BatchT]):
    """Interface of a model that `train.loop` can train on batches of one kind.

    Attributes:
        needs: modalities that the model reads. Batches must contain them.
        module: PyTorch module with all weights. The optimiser updates those parameters that require a gradient.
            Checkpoints and the published model contain the module's complete state.
    """

    needs: Needs
    module: nn.Module

    def prepare(self, batch: BatchT, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Prepares a training step. Returns a function that computes the losses later, with the current weights.

        `prepare` runs while a GPU is busy with earlier steps. So it should do everything that does not depend on the
        weights, for example draw masks. The returned function should not wait for the GPU, so it should not read values
        of tensors. The caller enables autocast if training uses bfloat16.

        Args:
            batch: data to train on, on the model's device.
            rng: random generator on the CPU. The model must use no other source of random numbers, so that a resumed
                run gives the same result as an uninterrupted one.
        """

    def finish_step(self, progress: float) -> None:
        """Updates parts of the model that the optimiser does not update, such as an EMA target encoder.

        Called after each optimiser step.

        Args:
            progress: fraction of the training that is complete, 0 to 1.
        """

    def embed(self, batch: BatchT) -> BatchVectors:
        """Computes the embeddings of a batch with the current weights. The caller disables gradients."""

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory for activations in one training step, in bytes. The batch has `tokens` tokens."""

    def parameter_counts(self) -> dict[str, int]:
        """Returns a dict of parameter counts for the model card, such as those of the encoder and the predictor."""
