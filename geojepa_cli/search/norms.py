"""Norms of all vectors in a search space, and bounds of the rounding errors of their scores."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.columns import Array

_VALUES_AT_ONCE = 500_000  # 4 MB in float64
_ROWS_AT_ONCE = 256  # 786 KB at 768 values in float32, so that they stay in the cache of one core
_UNIT_ROUNDOFF = 2.0**-24
_CONFIDENCE = 8.0
_SHORTEST = 1e-15
_MOST_CANCELLED = 40.0  # |x| / |y|; the float32 error of x − μ is at most 2 u times this, 5e-6
_LONGEST = 1e15  # products of longer vectors may overflow in float32


def inverse_norms(vectors: Array, space: SearchSpace) -> tuple[Tensor, NDArray[np.float32]]:
    """Returns 1 / |y| of each vector, and the rounding error of its score for a query with |a| = 1. float32 [n], [n]

    The error of a product of D terms is at most λ √D u |x| |a|, except with a probability below 2 exp(−λ²/2) per term
    (Higham and Mary 2019, theorem 3.1), with the unit roundoff u of float32 and λ = 8. Both results are 0 for vectors
    without a direction, whose score is 0. The relative error of 1 / |y| is below 1e-5: vectors whose norm needs more
    digits than float32 has are computed in float64.
    """
    inverse, slack = np.zeros(len(vectors), np.float32), np.zeros(len(vectors), np.float32)
    error = (_CONFIDENCE * math.sqrt(vectors.shape[1]) + 4) * _UNIT_ROUNDOFF
    step = max(1, _VALUES_AT_ONCE // max(1, vectors.shape[1]))
    largest = 1.0 if space.scale is None else float(space.scale.max(initial=0.0))
    whitening = None if space.matrix is None else _Whitening(space.matrix)
    quick = None if whitening is not None else _quick_norms(vectors, space)
    for begin in range(0, len(vectors), step):
        rows = np.arange(begin, min(begin + step, len(vectors)))
        if quick is not None:
            lengths, norms = (one[rows].astype(np.float64) for one in quick)
            shortest, longest = np.minimum(lengths, norms), np.maximum(lengths, norms)
            fits = (shortest > _SHORTEST) & (longest < _LONGEST) & (largest * lengths < _MOST_CANCELLED * norms)
            rows = rows[~fits]
        if len(rows):
            exact = _exact_norms(vectors[rows], space, whitening)
            if quick is None:
                lengths, norms = exact
            else:
                lengths[rows - begin], norms[rows - begin] = exact
        given = norms > 0
        part = slice(begin, begin + step)
        inverse[part][given] = 1.0 / norms[given]
        slack[part][given] = error * lengths[given] / norms[given]
        slack[part][lengths > _LONGEST] = np.inf
    return torch.from_numpy(inverse), slack


def as_tensor(column: Array) -> Tensor:
    """Returns a memory-mapped column as a tensor, without a copy. It must not be written."""
    with warnings.catch_warnings():  # torch warns that the file is read-only
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(column)


def _quick_norms(vectors: Array, space: SearchSpace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns |x| and |y| in float32, at about the speed of memory. float32 [n], [n]"""
    stored, width = as_tensor(vectors), vectors.shape[1]
    mean, scale = (None if one is None else torch.from_numpy(one).float() for one in (space.mean, space.scale))
    lengths = torch.empty(len(stored))
    norms = lengths if mean is None else torch.empty(len(stored))
    converted = torch.empty(_ROWS_AT_ONCE, width)
    for begin in range(0, len(stored), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        rows = converted[: len(stored[part])].copy_(stored[part])
        torch.linalg.vector_norm(rows, dim=1, out=lengths[part])
        if mean is not None:
            rows.sub_(mean)
            torch.linalg.vector_norm(rows if scale is None else rows.mul_(scale), dim=1, out=norms[part])
    return lengths.numpy(), norms.numpy()


def _exact_norms(
    vectors: Array, space: SearchSpace, whitening: _Whitening | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns |x| and |y| of some vectors, from float64. float64 [n], [n]"""
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    if space.mean is not None:
        rows = rows - space.mean
        rows[lengths == 0] = 0.0
    if space.scale is not None:
        rows = rows * space.scale
    return lengths, np.linalg.norm(rows, axis=1) if whitening is None else whitening.norms(rows)


class _Whitening:
    """Norms after a product with the matrix of a space, in float32: that is twice as fast as in float64.

    The columns are brought to about the same scale before, so that the errors stay small.
    """

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        scale = np.linalg.norm(matrix, axis=1)
        self._known = scale > 0
        self._scale = scale[self._known]
        self._matrix = (matrix[self._known] / self._scale[:, None]).astype(np.float32)

    def norms(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns |rows · M|. float64 [n]"""
        scaled = (rows[:, self._known] * self._scale).astype(np.float32)
        return np.asarray(np.linalg.norm((scaled @ self._matrix).astype(np.float64), axis=1))
