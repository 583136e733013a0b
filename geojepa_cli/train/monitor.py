"""Metrics that detect collapsed embeddings during training. They need no labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.metrics.rankme import rankme
from geojepa_cli.models.base import BatchVectors

MAX_RANK_ROWS = 4096


def collapse_metrics(embeddings: BatchVectors) -> dict[str, float]:
    """Computes effective rank, standard deviation and similarity of embedding vectors.

    Returns:
        Dict with these keys:

        - `rankme_tiles`, `rankme_tokens`: effective rank of the tile vectors and of the entity vectors. The mean vector
          is subtracted first, because it would add 1 to the rank.
        - `std_tiles`, `std_tokens`: standard deviation of the tile vectors and of the entity vectors, averaged over the
          dimensions.
        - `similarity_tokens`: mean cosine similarity between each entity vector and the mean entity vector. The value
          is 1 if all entity vectors are equal.
    """
    tiles, tokens = embeddings.tiles.float(), embeddings.entities.float()[:MAX_RANK_ROWS]
    towards_mean = F.cosine_similarity(tokens, tokens.mean(0, keepdim=True))
    return {
        "rankme_tiles": _rank(tiles),
        "rankme_tokens": _rank(tokens),
        "std_tiles": float(tiles.std(0).mean()) if len(tiles) > 1 else 0.0,
        "std_tokens": float(tokens.std(0).mean()) if len(tokens) > 1 else 0.0,
        "similarity_tokens": float(towards_mean.mean()),
    }


def _rank(x: Tensor) -> float:
    centred = x - x.mean(0)
    return rankme(centred) if bool(centred.abs().max() > 0) else 1.0
