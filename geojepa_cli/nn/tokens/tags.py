"""Content of entity tokens: the mean of the entity's tag embeddings."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_tags(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor) -> Tensor:
    """Returns the mean of each entity's tag embeddings. An entity without tags gets zeros.

    Args:
        tag_table: embedding of every tag. [V, E]
        tag_ids: row indices of `tag_table`, entity by entity. int64 [K]
        tag_offsets: start of each entity's tags in `tag_ids`, then their total count. int64 [T+1]
    Returns:
        Mean embeddings. [T, E]
    """
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="mean")
