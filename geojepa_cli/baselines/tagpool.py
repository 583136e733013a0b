"""TagPool: a baseline that averages the text embeddings of tags, without training (GeoJEPA thesis, section 7.3).

`TagPoolCounts` also has the pooling and the sketch of our JEPA models. A difference from them then comes from their
encoder, its weights of tags, or its training. Their first weights show which part is learned.
"""

from __future__ import annotations

from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.sketch import append_sketch, tag_sketch
from geojepa_cli.nn.pooling import MaxMean
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import list_version

SKETCH_DIM = 512  # as in our presets


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
        pool = MaxMean(entities.shape[1])
        return BatchVectors(entities, pool(entities, batch.cu_seqlens), tile_parts=pool.parts)


class TagPoolCounts(TagPool):
    """TagPool with counts.

    The vector of a tile also has the mean of its n entities' vectors times log n, and the sketch of our JEPA models.
    """

    name = "tagpool-counts"

    def __init__(self, inputs: FrozenInputs) -> None:
        super().__init__(inputs)
        self._sketch = tag_sketch(inputs, SKETCH_DIM)

    @staticmethod
    def params() -> dict[str, str]:
        """Returns the version of the list of tags and keys, a parameter of the embeddings."""
        return {"frequent_tags": list_version()}

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, E] and tiles [B, 3·E + 512]."""
        entities = super().encode(batch).entities
        pool = MaxMean(entities.shape[1], "log_count")
        found = BatchVectors(entities, pool(entities, batch.cu_seqlens), tile_parts=pool.parts)
        return append_sketch(found, self._sketch, batch)
