"""InfoNCE within a tile: a predicted vector must resemble its target more than the targets of the tile's other tokens.

Source: van den Oord et al. 2018. OlmoEarth (Herzog et al. 2025) compares tokens of the same sample only, as done here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.blocks import Blocks

SAME = 0.999  # targets of at least this cosine similarity are regarded as equal


def info_nce(predicted: Tensor, target: Tensor, tile: Tensor, tiles: int, temperature: float) -> Tensor:
    """Computes the InfoNCE loss of hidden tokens, with the other hidden tokens of the same tile as negatives.

    The target of a token is the vector to predict. The loss of a token is −log(exp(s / τ) / Σ exp(s_k / τ)). s is the
    cosine similarity between the predicted vector and the token's target. s_k are the similarities between the
    predicted vector and the targets of the token itself and of its negatives. Without negatives, the loss is 0.

    Tokens with the same target as the predicted token are not used as negatives. For example, two entities with the
    same tags can have the same target.

    Args:
        predicted: predicted vectors of the hidden tokens. [M, D]
        target: targets of the same tokens. They receive no gradient. [M, D]
        tile: index of each token's tile. int64 [M]
        tiles: number of tiles.
        temperature: temperature τ.
    Returns:
        Loss of each token. [M]
    """
    order = tile.argsort(stable=True)
    lengths = torch.zeros(tiles, dtype=torch.int64, device=tile.device).scatter_add(0, tile, torch.ones_like(tile))
    blocks = Blocks.of(lengths, len(tile))
    queries = F.normalize(predicted, dim=1).index_select(0, order)
    keys = F.normalize(target.detach(), dim=1).index_select(0, order)
    losses = [queries[:0].sum(1)]  # for a batch without hidden tokens
    for block in blocks:
        query, key = block.take(queries), block.take(keys)
        scores = query @ key.transpose(1, 2) / temperature  # [count, length, length]
        own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
        hidden = ~block.pairs | (key @ key.transpose(1, 2) >= SAME)
        scores_of_others = scores.masked_fill(hidden & ~own, float("-inf"))
        losses.append((scores_of_others.logsumexp(2) - scores.diagonal(dim1=1, dim2=2)).flatten())
    in_order = torch.cat(losses).index_select(0, blocks.row_of)
    return torch.empty_like(in_order).index_copy(0, order, in_order)
