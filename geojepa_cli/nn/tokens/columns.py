"""Content of entity tokens from one-hot tags: a learned vector per tag (GeoJEPA thesis, section 6.6.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.counts import sum_of_columns


class ColumnTokens(nn.Module):
    """Computes the token of each entity: the layer-normalised sum of a learned vector per tag of the entity.

    This is the same as a linear projection of the multi-hot vector of the entity's tags.

    Args:
        columns: number C of tags that have a learned vector (a column of the multi-hot vector).
        embed_dim: width D of the tokens.
    """

    def __init__(self, columns: int, embed_dim: int) -> None:
        super().__init__()
        self.columns = columns
        self.vectors = nn.Parameter(torch.empty(columns, embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))
        self.norm = nn.LayerNorm(embed_dim)
        nn.init.trunc_normal_(self.vectors, std=0.02)

    def forward(self, columns: Tensor, tag_offsets: Tensor) -> Tensor:
        """Computes the token of each entity.

        Args:
            columns: column of each tag, C for tags that have no column. int64 [K]
            tag_offsets: the tags of entity i are `columns[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
        Returns:
            Tokens. [T, D]
        """
        return self.norm(sum_of_columns(self.vectors, columns, tag_offsets) + self.bias)
