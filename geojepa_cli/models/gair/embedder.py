"""Computes embeddings of tiles and entities with a trained GAIR model."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.errors import DataError
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.gair.build import bind_tags, build_gair
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.vectors import embed_batch, ground_vectors
from geojepa_cli.models.published import load_module
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.photo_table import PhotoBatch


class GairEmbedder:
    """Computes embeddings with a trained GAIR model. Implements `Embedder` and `PointReader`.

    The vector of an entity is read from the image, at points on its geometry. It does not depend on the entity's tags.

    Args:
        module: model, on the device to compute on.
        tag_table: text embedding of every distinct tag of the dataset, for `describe`. [V, E]
    """

    name = "gair"
    needs = frozenset({Modality.IMAGE, Modality.NODES})

    def __init__(self, module: Gair, tag_table: Tensor) -> None:
        self.module = module
        self._tag_table = tag_table

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D], of their locations [T, D], and of tiles [B, W]."""
        return embed_batch(self.module, batch)

    def feature_maps(self, images: Tensor) -> Tensor:
        """Encodes images, uint8 [N, 3, 224, 224], as maps of features. [N, D, h, w]"""
        return self.module.overhead.as_map(self.module.overhead(images))

    def at_points(self, features: Tensor, uv: Tensor, image: Tensor) -> Tensor:
        """Returns the vectors of points in images, see `PointReader`. [Q, D]"""
        return unit(self.module.interpolation(features, uv, image))

    def at_places(self, lonlat: Tensor) -> Tensor:
        """Returns the vectors of locations. float64 [Q, 2] -> [Q, D]"""
        return unit(self.module.location(lonlat))

    def describe(self, batch: TileBatch) -> Tensor:
        """Returns the vectors of what the tags, kinds and sizes of the entities of a batch say. [T, D]

        Raises:
            DataError: the width of the tag embeddings differs from that of the training data.
        """
        found, wanted = self._tag_table.shape[1], self.module.ground.tags.in_features
        if found != wanted:
            message = f"tag embeddings have {found} dimensions, but the model was trained with {wanted}"
            raise DataError(message, hints.run("process"))
        return ground_vectors(self.module, batch, self._tag_table)

    def describe_photos(self, photos: PhotoBatch) -> Tensor:
        """Returns the vectors of what photos show. [P, D]

        Raises:
            ValueError: the model was trained without photos.
        """
        return unit(self.module.describe_photos(photos))


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> GairEmbedder:
    """Loads a trained GAIR model to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: its attribute `device` is the device to compute on.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """

    def restore(config: GairConfig, tensors: dict[str, Tensor]) -> Gair:
        module = build_gair(config, seed=0)
        module.load_state_dict(tensors)
        if inputs.tags is not None:
            bind_tags(module, config.model, inputs)
        return module

    return GairEmbedder(load_module(folder, weights, GairConfig, restore).to(inputs.device), inputs.tag_table)
