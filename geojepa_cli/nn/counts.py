"""Tag counts: vectors with one column per frequent tag, and the encoder that reads them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.packing import segment_ids


def tile_of_tags(tag_offsets: Tensor, cu_seqlens: Tensor, tags: int) -> Tensor:
    """Returns, for each tag of each entity, the index of the tile that contains the entity.

    Args:
        tag_offsets: the tags of entity i have the indices `tag_offsets[i]` to `tag_offsets[i + 1] - 1`. int64 [T+1]
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        tags: number of tags K.
    Returns:
        Tile indices. int64 [K]
    """
    tiles = segment_ids(cu_seqlens, len(tag_offsets) - 1)
    return tiles.index_select(0, segment_ids(tag_offsets, tags))


def count_columns(columns: Tensor, owner: Tensor, owners: int, size: int) -> Tensor:
    """Counts, for each owner (a tile or an entity), the tags in each column.

    Args:
        columns: column of each tag. The number `size` stands for tags that have no column. int64 [K]
        owner: index of each tag's owner. int64 [K]
        owners: number of owners N.
        size: number of columns C.
    Returns:
        Counts. float32 [N, C]
    """
    counts = torch.zeros(owners * (size + 1), device=columns.device)
    counts.index_add_(0, owner * (size + 1) + columns, torch.ones(1, device=columns.device).expand(len(columns)))
    return counts.view(owners, size + 1)[:, :size]


def count_tile_tags(columns: Tensor, tag_ids: Tensor, tag_offsets: Tensor, cu_seqlens: Tensor, size: int) -> Tensor:
    """Counts the tags and keys of each tile.

    Args:
        columns: column of every distinct tag of the dataset, and column of its key; `size` for none. int64 [2, V]
        tag_ids: tags of all entities, entity by entity. int64 [K]
        tag_offsets: the tags of entity i are `tag_ids[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        size: number of columns C.
    Returns:
        Number of entities with each tag or key. float32 [B, C]
    """
    found = columns.index_select(1, tag_ids).flatten()  # tags, then keys
    tile = tile_of_tags(tag_offsets, cu_seqlens, len(tag_ids)).repeat(2)
    return count_columns(found, tile, len(cu_seqlens) - 1, size)


def presence_and_logarithms(counts: Tensor) -> Tensor:
    """Returns 1 for each count above 0 and 0 for the others, then log(1 + count). [B, C] -> [B, 2·C]."""
    return torch.cat([(counts > 0).to(counts.dtype), counts.log1p()], dim=1)


def sum_of_columns(vectors: Tensor, columns: Tensor, tag_offsets: Tensor) -> Tensor:
    """Adds up the vectors of the tags of each entity. Tags without a column count as zeros.

    Args:
        vectors: vector of each column. [C, D]
        columns: column of each tag, C for tags that have no column. int64 [K]
        tag_offsets: the tags of entity i are `columns[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
    Returns:
        Sums. [T, D]
    """
    rows = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
    return F.embedding_bag(columns, rows, tag_offsets[:-1], mode="sum")


class CountEncoder(nn.Module):
    """Encodes tag counts: a linear projection to a narrow vector, then an MLP (GeoJEPA thesis, section 6.5).

    The thesis normalises the counts, but does not say how. This encoder reads log(1 + count).

    Args:
        columns: number of columns C.
        embed_dim: width D of the vectors.
    """

    def __init__(self, columns: int, embed_dim: int) -> None:
        super().__init__()
        self.columns = columns
        self.proj = nn.Linear(columns, embed_dim)
        self.mlp = Mlp(embed_dim, 2 * embed_dim, embed_dim)

    def forward(self, counts: Tensor) -> Tensor:
        """Encodes the tag counts of each tile as one vector. [B, C] -> [B, D]."""
        return self.mlp(F.gelu(self.proj(counts.log1p())))

    def entities(self, columns: Tensor, tag_offsets: Tensor) -> Tensor:
        """Encodes each entity from its own tags. The result is that of `forward` for a tile with only this entity.

        Args:
            columns: column of each tag, C for tags that have no column. int64 [K]
            tag_offsets: the tags of entity i are `columns[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
        Returns:
            Vectors. [T, D]
        """
        projected = math.log(2.0) * sum_of_columns(self.proj.weight.T, columns, tag_offsets) + self.proj.bias
        return self.mlp(F.gelu(projected))
