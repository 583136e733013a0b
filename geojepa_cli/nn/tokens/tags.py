"""Content of entity tokens: the mean, or a learned weighted mean, of the text embeddings of the entity's tags."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    return _weighted_sum(tag_table, tag_ids, tag_offsets, own / _sums(own, tag_offsets).clamp_min(1e-12))


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
        return _weighted_sum(tag_table, tag_ids, tag_offsets, segment_softmax(scores, tag_offsets))


def _weighted_sum(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor, weights: Tensor) -> Tensor:
    # not in half precision: embedding_bag needs weights of the type of the table
    weights = weights.to(tag_table.dtype)
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="sum", per_sample_weights=weights)


def _sums(values: Tensor, offsets: Tensor) -> Tensor:
    """Returns, for each value, the sum of the values in its segment. [K]"""
    segments = len(offsets) - 1
    owner = torch.arange(segments, device=values.device).repeat_interleave(offsets.diff(), output_size=len(values))
    return values.new_zeros(segments).index_add(0, owner, values).index_select(0, owner)


def segment_softmax(scores: Tensor, offsets: Tensor) -> Tensor:
    """Computes the softmax of the scores in each segment.

    Args:
        scores: scores of all segments, one segment after the other. float [K]
        offsets: the scores of segment i are `scores[offsets[i]:offsets[i + 1]]`. Segments can be empty. int64 [T+1]
    Returns:
        Weights, which sum to 1 in each segment. [K]
    """
    segments = len(offsets) - 1
    owner = torch.arange(segments, device=scores.device).repeat_interleave(offsets.diff(), output_size=len(scores))
    highest = scores.new_full((segments,), -torch.inf).scatter_reduce(0, owner, scores.detach(), "amax")
    raised = torch.exp(scores - highest.index_select(0, owner))
    total = scores.new_zeros(segments).index_add(0, owner, raised)
    return raised / total.index_select(0, owner)
