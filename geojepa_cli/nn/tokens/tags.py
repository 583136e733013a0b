"""Content of entity tokens: the mean of the text embeddings of the entity's tags."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
