"""Norms of all vectors in a search space, and bounds of the rounding errors of their scores."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.columns import Array

_VALUES_AT_ONCE = 500_000  # 4 MB in float64
_UNIT_ROUNDOFF = 2.0**-24
_CONFIDENCE = 8.0
_LONGEST = 1e15  # products of longer vectors may overflow in float32


def inverse_norms(vectors: Array, space: SearchSpace) -> tuple[Tensor, NDArray[np.float32]]:
    """Returns 1 / |y| of each vector, and the rounding error of its score for a query with |a| = 1. float32 [n], [n]

    The error of a product of D terms is at most λ √D u |x| |a|, except with a probability below 2 exp(−λ²/2) per term
    (Higham and Mary 2019, theorem 3.1), with the unit roundoff u of float32 and λ = 8. Both are 0 for vectors without a
    direction, whose score is 0.
    """
    inverse, slack = np.zeros(len(vectors), np.float32), np.zeros(len(vectors), np.float32)
    width = vectors.shape[1]
    error = (_CONFIDENCE * math.sqrt(width) + 4) * _UNIT_ROUNDOFF
    step = max(1, _VALUES_AT_ONCE // max(1, width))
    whitening = None if space.matrix is None else _Whitening(space.matrix)
    for begin in range(0, len(vectors), step):
        rows = np.asarray(vectors[begin : begin + step], np.float64)
        lengths = np.linalg.norm(rows, axis=1)
        if space.mean is not None:
            rows = rows - space.mean
            rows[lengths == 0] = 0.0
        if space.scale is not None:
            rows = rows * space.scale
        norms = np.linalg.norm(rows, axis=1) if whitening is None else whitening.norms(rows)
        given = norms > 0
        inverse[begin : begin + step][given] = 1.0 / norms[given]
        slack[begin : begin + step][given] = error * lengths[given] / norms[given]
        slack[begin : begin + step][lengths > _LONGEST] = np.inf
    return torch.from_numpy(inverse), slack


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
