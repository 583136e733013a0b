"""Content of entity tokens: the mean, or a learned weighted mean, of the text embeddings of the entity's tags."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.packing import segment_ids
from geojepa_cli.nn.pooling import softmax_in_segments


def mean_tags(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Averages the tag embeddings of each entity. An entity without tags, or whose tags have weight 0, gets zeros.

    Args:
        tag_table: text embedding of every distinct tag. [V, E]
        tag_ids: tags of all entities, entity by entity, as row indices of `tag_table`. int64 [K]
        tag_offsets: the tags of entity i are `tag_ids[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
        weights: weight of every distinct tag in the mean. None: equal weights. [V]
    Returns:
        Mean embedding of each entity. [T, E]
    """
    if weights is None:
        return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="mean")
    own = weights.index_select(0, tag_ids)
    entity = segment_ids(tag_offsets, len(tag_ids))
    total = own.new_zeros(len(tag_offsets) - 1).index_add(0, entity, own).index_select(0, entity)
    return _weighted_sum(tag_table, tag_ids, tag_offsets, own / total.clamp_min(1e-12))


class WeightedTags(nn.Module):
    """Weighted mean of the tag embeddings of each entity (attention pooling with one learned query).

    The weights of an entity's tags are the softmax of their scores. The score of a tag is the scalar product of its
    embedding and a learned vector. This vector starts at zero, so training starts from the plain mean.

    Args:
        tag_dim: width E of the tag embeddings.
    """

    def __init__(self, tag_dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(tag_dim))

    def forward(self, tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Averages tag embeddings as `mean_tags` does, with learned weights. Returns float [T, E].

        `weights` [V] multiplies the learned weights, before those of an entity are scaled to the sum 1.
        """
        scores = F.embedding(tag_ids, tag_table).float() @ self.query.float()
        if weights is not None:
            scores = scores + weights.index_select(0, tag_ids).float().clamp_min(1e-12).log()
        return _weighted_sum(
            tag_table, tag_ids, tag_offsets, softmax_in_segments(scores[:, None], tag_offsets).squeeze(1)
        )


def _weighted_sum(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor, weights: Tensor) -> Tensor:
    # not in half precision: embedding_bag needs weights of the type of the table
    weights = weights.to(tag_table.dtype)
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="sum", per_sample_weights=weights)
