"""TagCounts: a baseline that counts 600 frequent tags and keys, without training.

A head on these counts, such as gradient boosting, is the model that a practitioner would try first. A linear head has
lower errors on `TagLogCounts`: presence and logarithms instead of counts. The tags and keys are a fixed list of the
package (`tags.frequent`), so the columns are the same in all regions and depend on no label.
"""

from __future__ import annotations

from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.nn.counts import count_columns, count_tile_tags, presence_and_logarithms
from geojepa_cli.nn.packing import segment_ids
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import frequent_tags, list_version


class TagCounts:
    """Baseline that counts tags and keys.

    The vector of an entity has the value 1 for each of its tags and keys. The vector of a tile is the sum of the
    vectors of its entities.
    """

    name = "tag-counts"
    needs = TAGS_ONLY

    def __init__(self, inputs: FrozenInputs) -> None:
        self._size = len(frequent_tags())
        self._columns = inputs.tag_list.frequent_columns().to(inputs.device)  # [2, V]

    @staticmethod
    def params() -> dict[str, str]:
        """Returns the version of the list of tags and keys, a parameter of the embeddings."""
        return {"frequent_tags": list_version()}

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, 600] and tiles [B, 600]."""
        columns = self._columns.index_select(1, batch.tag_ids).flatten()  # tags, then keys
        entity = segment_ids(batch.tag_offsets, len(batch.tag_ids)).repeat(2)
        return BatchVectors(
            count_columns(columns, entity, len(batch.tag_offsets) - 1, self._size),
            count_tile_tags(self._columns, batch.tag_ids, batch.tag_offsets, batch.cu_seqlens, self._size),
        )


class TagLogCounts(TagCounts):
    """Baseline of presence and logarithms: a tile's vector has 0 or 1 for each tag and key, then log(1 + count)."""

    name = "tag-log-counts"

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, 600] and tiles [B, 1200]."""
        found = super().encode(batch)
        return BatchVectors(found.entities, presence_and_logarithms(found.tiles))
