"""Content of entities: the mean of their tag embeddings."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_tags(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor) -> Tensor:
    """Returns the mean of each entity's tag embeddings, zeros for an entity without tags.

    Args:
        tag_table: embedding of every tag. [V, E]
        tag_ids: rows of the table, entity by entity. int64 [K]
        tag_offsets: starts of the entities' tags. int64 [T+1]
    Returns:
        [T, E]
    """
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="mean")
