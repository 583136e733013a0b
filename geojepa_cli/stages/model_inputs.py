"""Loads a model, and the text embeddings of a dataset's tags, which the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder, FrozenInputs
    from geojepa_cli.store.store import TileStore


def open_embedder(model: Model, store: TileStore, features: Sequence[Artifact], device: str) -> Embedder:
    """Loads a model or baseline for all regions of a dataset.

    Args:
        model: model to load.
        store: dataset that the model reads.
        features: tag embeddings, one `features/` artifact per region.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        DataError: the files of the model or its inputs are damaged, or regions have different tag encoders.
    """
    return model.open(frozen_inputs(store, features, device))


def frozen_inputs(store: TileStore, features: Sequence[Artifact], device: str) -> FrozenInputs:
    """Opens the text embeddings of a dataset's tags, for models of all regions.

    Args:
        store: dataset that the models read.
        features: tag embeddings, one `features/` artifact per region.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        DataError: a file is damaged, or regions have different tag encoders.
    """
    from geojepa_cli.models.base import FrozenInputs, TagList
    from geojepa_cli.store.features import open_features

    with rebuilding(*features):
        tags = open_features([one.file(FEATURES_FILE) for one in features], store)
    frozen = FrozenInputs(tags.table, store.geometry_kind, store.image_kind, tags=TagList(store.keys, store.values))
    return frozen.to(pick_device(device))
