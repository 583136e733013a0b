"""Content of entity tokens: the mean, or a learned weighted mean, of the text embeddings of the entity's tags."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean_tags(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor) -> Tensor:
    """Averages the tag embeddings of each entity. An entity without tags gets zeros.

    Args:
        tag_table: text embedding of every distinct tag. [V, E]
        tag_ids: tags of all entities, entity by entity, as row indices of `tag_table`. int64 [K]
        tag_offsets: the tags of entity i are `tag_ids[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
    Returns:
        Mean embedding of each entity. [T, E]
    """
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="mean")


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

    def forward(self, tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor) -> Tensor:
        """Returns the weighted mean of each entity's tag embeddings: float [T, E]. Arguments as for `mean_tags`."""
        scores = F.embedding(tag_ids, tag_table).float() @ self.query.float()
        weights = segment_softmax(scores, tag_offsets)
        # not in half precision: embedding_bag needs weights of the type of the table
        return F.embedding_bag(
            tag_ids, tag_table, tag_offsets[:-1], mode="sum", per_sample_weights=weights.to(tag_table.dtype)
        )


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
