"""TagPool: a baseline that averages the text embeddings of tags, without training (GeoJEPA thesis, section 7.3).

`TagPoolCounts` has the pooling of our JEPA models, so that a difference from them is not one of pooling.
"""

from __future__ import annotations

from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.nn.pooling import MaxMean, max_mean
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch


class TagPool:
    """Baseline that averages the text embeddings of tags, without training.

    The vector of an entity is the mean of its tags' text embeddings. The vector of a tile concatenates the maximum and
    the mean of its entities' vectors.
    """

    name = "tagpool"
    needs = TAGS_ONLY

    def __init__(self, inputs: FrozenInputs) -> None:
        self._tag_table = inputs.tag_table

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, E] and tiles [B, 2·E]."""
        entities = mean_tags(self._tag_table, batch.tag_ids, batch.tag_offsets)
        return BatchVectors(entities, max_mean(entities, batch.cu_seqlens))


class TagPoolCounts(TagPool):
    """TagPool with counts: the vector of a tile also has the mean of its n entities' vectors times log n."""

    name = "tagpool-counts"

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, E] and tiles [B, 3·E]."""
        entities = super().encode(batch).entities
        return BatchVectors(entities, MaxMean(entities.shape[1], "log_count")(entities, batch.cu_seqlens))
