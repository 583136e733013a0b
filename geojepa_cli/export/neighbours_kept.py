"""Measures the loss of an encoding of vectors: the share of nearest neighbours that it keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.export.vector_rows import Floats, VectorRows, blocks
from geojepa_cli.metrics.bootstrap import bootstrap_mean
from geojepa_cli.metrics.knn import Metric, nearest
from geojepa_cli.store.csr import Rows

NEIGHBOURS = 8
QUERIES = 1000
# The space in which `knn` searches. This is the only place where the measurement depends on it.
SPACE: Metric = "cosine"
_TIE = 1e-12  # difference of two float64 cosines of equal vectors
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class KeptNeighbours:
    """Share of nearest neighbours that an encoding keeps, with a 95 % interval over zoom-14 tiles.

    Attributes:
        share: mean over the queries.
        low, high: ends of the interval.
        k: number of neighbours of a query.
        queries, groups: number of queries, and of zoom-14 tiles that contain them.
        searched: number of vectors that were searched.
        space: measure of similarity.
    """

    share: float
    low: float
    high: float
    k: int
    queries: int
    groups: int
    searched: int
    space: str

    def to_json(self) -> dict[str, Any]:
        """Returns the figures by name. Shares have six decimals."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


def measure_kept(
    original: VectorRows, decoded: VectorRows, groups: NDArray[np.int64], seed: int = 0
) -> KeptNeighbours | None:
    """Measures which share of the `NEIGHBOURS` nearest neighbours an encoding keeps.

    The queries are all vectors, or `QUERIES` of them drawn at random. The search is exact. A neighbour among the
    decoded vectors counts as kept if its original vector is at least as similar to the original query as the last of
    the original neighbours. So it does not matter which of several equal vectors is found.

    Args:
        original: vectors before encoding.
        decoded: the same vectors as a reader of the file gets them.
        groups: number of the zoom-14 tile of each vector, int64 [n].
        seed: random seed of the queries.

    Returns:
        The figures; None if there are fewer than two vectors.
    """
    k = min(NEIGHBOURS, original.count - 1)
    if k < 1:
        return None
    queries = np.arange(original.count)
    if original.count > QUERIES:
        queries = np.sort(np.random.default_rng(seed).choice(original.count, QUERIES, replace=False))
    scores, _ = search(original, queries, k)
    _, found = search(decoded, queries, k)
    wanted = original.read(queries)
    again = np.stack([_cosines(one, original.read(rows)) for one, rows in zip(wanted, found, strict=True)])
    shares = (again >= scores[:, -1:] - _TIE).mean(axis=1)
    interval = bootstrap_mean(shares, groups[queries])
    return KeptNeighbours(
        interval.value, interval.low, interval.high, k, len(queries), interval.groups, original.count, SPACE
    )


def search(vectors: VectorRows, queries: Rows, k: int) -> tuple[Scores, Rows]:
    """Searches the k nearest neighbours of some of the vectors among all of them. A vector is not its own neighbour.

    Args:
        vectors: all vectors. They are read in blocks.
        queries: rows of the queries, int64 [q].
        k: number of neighbours, less than the number of vectors.

    Returns:
        Cosines, float64 [q, k], and rows, int64 [q, k]. The nearest neighbour comes first.
    """
    wanted = torch.from_numpy(vectors.read(queries))
    scores, found = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    for rows, block in blocks(vectors):
        near, inside = nearest(wanted, torch.from_numpy(block), k + 1, SPACE)
        at = rows[inside.numpy()]
        scores = np.concatenate([scores, np.where(at == queries[:, None], -np.inf, near.numpy())], axis=1)
        found = np.concatenate([found, at], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
    return scores, found


def _cosines(query: Floats, vectors: Floats) -> Scores:
    scores, rows = nearest(torch.from_numpy(query[None]), torch.from_numpy(vectors), len(vectors), SPACE)
    found = np.empty(len(vectors))
    found[rows[0].numpy()] = scores[0].numpy()
    return found
