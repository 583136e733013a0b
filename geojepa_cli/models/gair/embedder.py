"""Computes embeddings of tiles and entities with a trained GAIR model."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.gair.build import build_gair
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.vectors import embed_batch
from geojepa_cli.models.published import load_module
from geojepa_cli.store.batch import TileBatch


class GairEmbedder:
    """Computes embeddings with a trained GAIR model.

    The vector of an entity is read from the image, at points on its geometry. It does not depend on the entity's tags.

    Args:
        module: model, on the device to compute on.
    """

    name = "gair"
    needs = frozenset({Modality.IMAGE, Modality.NODES})

    def __init__(self, module: Gair) -> None:
        self.module = module

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D], of their locations [T, D], and of tiles [B, W]."""
        return embed_batch(self.module, batch)


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> GairEmbedder:
    """Loads a trained GAIR model to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: its attribute `device` is the device to compute on.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """
    return GairEmbedder(load_module(folder, weights, GairConfig, _restore).to(inputs.device))


def _restore(config: GairConfig, tensors: dict[str, Tensor]) -> Gair:
    module = build_gair(config, seed=0)
    module.load_state_dict(tensors)
    return module
