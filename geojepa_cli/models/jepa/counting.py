"""Counts of the tags and keys in tiles, which the summary of a GeoJEPA model reads and predicts."""

from __future__ import annotations

from torch import Tensor

from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.nn.counts import count_tile_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import frequent_tags


class TagCounter:
    """Counts the frequent tags and keys of tiles.

    Args:
        inputs: the dataset's tags, and the device to count on.
    """

    def __init__(self, inputs: FrozenInputs) -> None:
        self._columns = inputs.tag_list.frequent_columns().to(inputs.device)
        self._size = len(frequent_tags())

    def count(self, batch: TileBatch, entities: Tensor | None = None) -> Tensor:
        """Returns the number of entities of each tile that have each of the C frequent tags and keys.

        Args:
            batch: tiles with their entities.
            entities: which entities count. None: all. bool [T]
        Returns:
            Counts. float32 [B, C]
        """
        parts = batch.tag_ids, batch.tag_offsets, batch.cu_seqlens
        return count_tile_tags(self._columns, *parts, self._size, entities)
