"""Exact nearest-neighbour search. Vectors are compared in chunks, with one matrix product per chunk."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Metric = Literal["cosine", "dot", "l2"]

# maximum number of elements in the result of one matrix product (32 MB), and in the float32 copy of one chunk (64 MB)
_SCORES_AT_ONCE = 8_000_000
_VALUES_AT_ONCE = 16_000_000


def nearest(
    queries: Tensor,
    vectors: Tensor,
    k: int,
    metric: Metric = "cosine",
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Searches the k vectors nearest to each query. The nearest vector comes first.

    Vectors with equal scores are ordered by their row number in `vectors`.

    The search has two steps. First, scores in float32 select candidates: the k best rows, and all rows whose score is
    within the rounding error of the k-th best score. Then the candidates are ranked by scores in float64. So the result
    does not depend on the chunk size.

    Args:
        queries: query vectors [q, d].
        vectors: vectors to search [n, d], of any float type.
        k: number of neighbours per query.
        metric: `cosine` similarity or `dot` product (a higher score is nearer), or `l2` distance (lower is nearer).
        excluded: True for rows of `vectors` that are never returned. None if all rows may be returned. bool [n]

    Returns:
        Scores, float64 [q, k'], and row numbers in `vectors`, int64 [q, k']. k' is k, or the number of rows that may
        be returned if that is smaller.

    Raises:
        ValueError: the shapes do not match, k is less than 1, or `vectors` has values that are not finite.
    """
    _check(queries, vectors, k, excluded)
    allowed = len(vectors) - (int(excluded.sum()) if excluded is not None else 0)
    k = min(k, allowed)
    if not k:
        return torch.empty(len(queries), 0, dtype=torch.float64), torch.empty(len(queries), 0, dtype=torch.int64)
    scores = torch.empty(len(queries), k, dtype=torch.float64)
    rows = torch.empty(len(queries), k, dtype=torch.int64)
    step = max(1, _SCORES_AT_ONCE // min(len(vectors), _chunk_rows(vectors)))
    for begin in range(0, len(queries), step):
        part = slice(begin, begin + step)
        candidates = _candidates(queries[part], vectors, k, metric, excluded)
        for i, found in enumerate(candidates, start=begin):
            scores[i], rows[i] = _best(queries[i], vectors, found, k, metric)
    return scores, rows


def _candidates(queries: Tensor, vectors: Tensor, k: int, metric: Metric, excluded: Tensor | None) -> list[Tensor]:
    """Returns, for each query, the sorted row numbers of all vectors that may be among its k nearest neighbours."""
    query = _prepared(queries, metric)
    kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(len(query))]
    floor = torch.full((len(query),), -torch.inf)
    chunk = _chunk_rows(vectors)
    for begin in range(0, len(vectors), chunk):
        block = _prepared(vectors[begin : begin + chunk], metric)
        if not torch.isfinite(block).all():
            raise ValueError("vectors have values that are not finite")
        score = query @ block.T
        slack = _rounding(query, block)
        if metric == "l2":  # |q − v|² = |q|² + |v|² − 2 q·v, and |q|² is the same for all rows
            squares = (block * block).sum(1)
            score = 2.0 * score - squares
            slack = 2.0 * slack + 1e-6 * squares.max()
        if excluded is not None:
            score[:, excluded[begin : begin + chunk]] = -torch.inf
        if block.shape[0] >= k:
            floor = torch.maximum(floor, score.topk(k, dim=1).values[:, -1] - slack)
        near = (score >= floor[:, None]) & torch.isfinite(score)
        for i in range(len(query)):
            found = near[i].nonzero().squeeze(1)
            kept[i].append((found + begin, score[i, found]))
    return [torch.cat([row[score >= least] for row, score in parts]) for parts, least in zip(kept, floor, strict=True)]


def _best(query: Tensor, vectors: Tensor, rows: Tensor, k: int, metric: Metric) -> tuple[Tensor, Tensor]:
    """Ranks the candidates `rows` of one query. Returns the float64 scores and row numbers of the k nearest rows."""
    wide, block = query.double(), vectors[rows].double()
    if metric == "l2":
        score = -(block - wide).square().sum(1).sqrt()
    else:
        score = (block * wide).sum(1)
        if metric == "cosine":
            norms = block.square().sum(1).sqrt() * wide.square().sum().sqrt()
            score = torch.where(norms > 0, score / norms.clamp(min=1e-300), torch.zeros_like(score)).clamp(-1, 1)
    order = score.sort(descending=True, stable=True).indices[:k]
    best = score[order]
    return (-best if metric == "l2" else best), rows[order]


def _prepared(vectors: Tensor, metric: Metric) -> Tensor:
    vectors = vectors.float()
    if metric == "cosine":  # a zero vector stays zero: its cosine to anything is 0
        norms: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return vectors / norms.clamp(min=1e-30)
    return vectors


def _rounding(query: Tensor, block: Tensor) -> Tensor:
    """Returns, for each query, the largest rounding error of the difference between two of its scores. [q]

    A score is the float32 dot product of the query with a vector of `block` (one chunk of all vectors). Both scores are
    rounded, so the returned value is twice the maximum rounding error of one score.
    """
    own: Tensor = torch.linalg.vector_norm(query, dim=1)
    largest: Tensor = torch.linalg.vector_norm(block, dim=1).max()
    return 4e-6 * own * largest


def _chunk_rows(vectors: Tensor) -> int:
    return max(1024, _VALUES_AT_ONCE // max(1, vectors.shape[1]))


def _check(queries: Tensor, vectors: Tensor, k: int, excluded: Tensor | None) -> None:
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"expected queries [q, d] and vectors [n, d], got shapes {tuple(queries.shape)} and {tuple(vectors.shape)}"
        )
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if excluded is not None and excluded.shape != vectors.shape[:1]:
        raise ValueError(f"`excluded` must have shape [{len(vectors)}], got {tuple(excluded.shape)}")
