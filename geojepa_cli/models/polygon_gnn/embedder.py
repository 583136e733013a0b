"""Computes embeddings of tiles and entities from geometry, with a trained geometry encoder (PolygonGNN)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.published import load_module
from geojepa_cli.nn.geometry.shapes import Shapes
from geojepa_cli.nn.pooling import MaxMean
from geojepa_cli.store.batch import TileBatch

if TYPE_CHECKING:
    from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN

PREFIX = "encoder."  # start of the names of the encoder's weights; the other weights belong to the classifier


class PolygonEmbedder:
    """Computes embeddings of tiles and entities from geometry alone. Does not read tags and images.

    Args:
        encoder: trained geometry encoder.
    """

    name = "polygon_gnn"
    needs: Needs = frozenset({Modality.NODES})

    def __init__(self, encoder: PolygonGNN) -> None:
        self.encoder = encoder

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D] and tiles [B, 2·D]."""
        entities = self.encoder(shapes_of(batch))
        pool = MaxMean(entities.shape[1])
        return BatchVectors(entities, pool(entities, batch.cu_seqlens), tile_parts=pool.parts)


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> PolygonEmbedder:
    """Loads a trained geometry encoder to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: object whose attribute `device` is the device to compute on. The tag embeddings are not used.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """
    return PolygonEmbedder(load_encoder(folder, weights).to(inputs.device))


def load_encoder(folder: Path, weights: str = WEIGHTS) -> PolygonGNN:
    """Loads a trained geometry encoder from the folder of its model. See `load` for the arguments and errors."""
    return load_module(folder, weights, GeometryConfig, build_encoder)


def build_encoder(config: GeometryConfig, tensors: dict[str, Tensor]) -> PolygonGNN:
    """Creates a geometry encoder with the weights of a published model. The weights do not require gradients.

    Args:
        config: configuration with which the model was trained.
        tensors: weights of the published model by name, including those of the classifier.
    """
    from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN

    encoder = PolygonGNN(config.model.dim, config.model.depth)
    encoder.load_state_dict({name.removeprefix(PREFIX): x for name, x in tensors.items() if name.startswith(PREFIX)})
    return encoder.requires_grad_(False).eval()


def shapes_of(batch: TileBatch) -> Shapes:
    """Returns the geometry of all entities of a batch.

    Raises:
        ValueError: the batch was read without geometry.
    """
    found = [getattr(batch, name) for name in Shapes._fields]
    if any(tensor is None for tensor in found):
        raise ValueError("the batch has no geometry")
    return Shapes(*found)
