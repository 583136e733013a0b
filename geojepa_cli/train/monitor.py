"""Label-free metrics that show whether vectors collapse."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.metrics.rankme import rankme
from geojepa_cli.models.base import Embeddings

MAX_RANK_ROWS = 4096


def collapse_metrics(embeddings: Embeddings) -> dict[str, float]:
    """Computes effective ranks and spreads of the vectors of some tiles.

    Returns:
        `rankme_tiles`, `rankme_tokens`: effective ranks of tile and entity vectors after centring, as a mean that all
        vectors share would count as a direction. `std_tiles`, `std_tokens`: mean standard deviation of a dimension.
        `similarity_tokens`: mean cosine between entity vectors and their mean, 1 if all are equal.
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
