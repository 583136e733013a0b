"""Models to compare with. TagPool: no training at all."""

from __future__ import annotations

from torch import Tensor, nn

from geojepa_cli.models.jepa.encoder import Embeddings
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.tokens.tokenizer import TileTensors, mean_tags


class TagPool(nn.Module):
    """An entity is the mean of its tag embeddings, a tile max ‖ mean over its entities (thesis 7.3)."""

    def forward(self, batch: TileTensors, tag_table: Tensor) -> Embeddings:
        """Entities [T, E], tiles [B, 2·E]."""
        entities = mean_tags(tag_table, batch.tag_ids, batch.tag_offsets)
        return Embeddings(entities, max_mean(entities, batch.cu_seqlens.long()))
