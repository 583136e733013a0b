"""Measures the loss of an encoding of vectors: the share of nearest neighbours that it keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.config.spaces import DEFAULT_FORM, Form
from geojepa_cli.export.vector_rows import VectorRows, blocks
from geojepa_cli.metrics.bootstrap import bootstrap_mean
from geojepa_cli.metrics.knn import nearest
from geojepa_cli.store.csr import Rows

NEIGHBOURS = 8
QUERIES = 1000
SPACE: Form = DEFAULT_FORM  # in which `knn` searches
_TIE = 1e-12  # difference of two float64 cosines of equal vectors
Scores = NDArray[np.float64]


class Space(Protocol):
    """Interface of a search space: `search.space.SearchSpace`, as far as it is needed here."""

    def transform(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Maps vectors to the space. Zeros stay zeros. float64 [n, width]"""
        ...


@dataclass(frozen=True)
class KeptNeighbours:
    """Share of nearest neighbours that an encoding keeps, with a 95 % interval over zoom-14 tiles.

    Attributes:
        share: mean over the queries.
        low, high: ends of the interval.
        k: number of neighbours of a query.
        queries, groups: number of queries, and of zoom-14 tiles that contain them.
        searched: number of vectors that were searched.
        space: form of the vectors whose cosines were compared.
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
    original: VectorRows,
    decoded: VectorRows,
    groups: NDArray[np.int64],
    spaces: tuple[Space, Space],
    seed: int = 0,
) -> KeptNeighbours | None:
    """Measures which share of the `NEIGHBOURS` nearest neighbours an encoding keeps.

    The queries are all vectors, or `QUERIES` of them drawn at random. The search is exact. A neighbour among the
    decoded vectors counts as kept if its original vector is at least as similar to the original query as the last of
    the original neighbours. So it does not matter which of several equal vectors is found.

    Neighbours are those of `knn`: vectors are compared in its default space, which is fitted to all original vectors,
    or to all decoded ones.

    Args:
        original: vectors before encoding.
        decoded: the same vectors as a reader of the file gets them.
        groups: number of the zoom-14 tile of each vector, int64 [n].
        spaces: search spaces of the original and of the decoded vectors, of the form `SPACE`.
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
    before, after = (MappedVectors(*pair) for pair in zip((original, decoded), spaces, strict=True))
    scores, _ = search(before, queries, k)
    _, found = search(after, queries, k)
    wanted = before.read(queries)
    again = np.stack([_cosines(one, before.read(rows)) for one, rows in zip(wanted, found, strict=True)])
    shares = (again >= scores[:, -1:] - _TIE).mean(axis=1)
    interval = bootstrap_mean(shares, groups[queries])
    return KeptNeighbours(
        interval.value, interval.low, interval.high, k, len(queries), interval.groups, original.count, SPACE
    )


class MappedVectors:
    """Vectors in a search space, before they are scaled to length 1.

    Args:
        rows: the vectors.
        space: the space.
    """

    def __init__(self, rows: VectorRows, space: Space) -> None:
        self.rows, self.space = rows, space

    def read(self, rows: Rows) -> Scores:
        """Returns the vectors in the given rows, float64 [m, width]."""
        return self.space.transform(self.rows.read(rows))


def search(vectors: MappedVectors, queries: Rows, k: int) -> tuple[Scores, Rows]:
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
    for rows, block in blocks(vectors.rows):
        near, inside = nearest(wanted, torch.from_numpy(vectors.space.transform(block)), k + 1)
        at = rows[inside.numpy()]
        scores = np.concatenate([scores, np.where(at == queries[:, None], -np.inf, near.numpy())], axis=1)
        found = np.concatenate([found, at], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
    return scores, found


def _cosines(query: Scores, vectors: Scores) -> Scores:
    scores, rows = nearest(torch.from_numpy(query[None]), torch.from_numpy(vectors), len(vectors))
    found = np.empty(len(vectors))
    found[rows[0].numpy()] = scores[0].numpy()
    return found
