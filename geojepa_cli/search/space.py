"""Spaces in which vectors are compared: raw, or mapped by statistics of the searched regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.config.spaces import DEFAULT_FORM, FORMS, Form
from geojepa_cli.store.columns import Array
from geojepa_cli.store.vector_statistics import VectorStatistics, combine

PART_WEIGHTS = {"max": 4.0}  # of parts of a tile vector in the form `balanced`; all others have weight 1
# A column is constant if its standard deviation is below this fraction of its root mean square. Rounding in float32
# causes deviations of about 1e-7.
_CONSTANT = 1e-6
# Smallest weight of the identity matrix in the correlation matrix, see `SearchSpace`.
_LEAST_SHRINKAGE = 0.01
_ROWS_AT_ONCE = 8192


class SearchSpace:
    """Maps vectors to unit vectors, whose dot product is the similarity of two vectors.

    Vectors of one model have a large common part, so that the cosine of any two raw vectors is close to 1. And a few
    directions with large variance decide most of the cosine. With the mean μ, the variances v and the correlation
    matrix R of all vectors of the searched regions, a vector x is mapped to y / |y|, where y is

    - `raw`: x
    - `centred`: x − μ
    - `balanced`: x − μ, with every part of a tile vector (such as the maximum and the mean of its entities) multiplied
      by w / √V. V is the variance of the part, which is the sum of the variances of its columns. The weight w is 4 for
      the maximum, which tells whether anything of a kind is there, and 1 for all other parts. So neither the number
      of columns of a part nor their scale decides how much it counts. Without known parts, this is `centred`.
    - `whitened`: S^(−1/2) · diag(v)^(−1/2) · (x − μ), with S = (1 − λ) R + λ I.

    The whitening is ZCA-cor (Kessy et al. 2018, section 3) of a shrunk correlation matrix. It first gives every column
    the variance 1, so parts of a vector with different scales have equal weight. λ is at least 0.01, so no direction is
    amplified more than tenfold. With n vectors and p columns, λ is the weight of the OAS estimator (Chen et al. 2010,
    eq. 23) if that is larger:

        λ = min(1, ((1 − 2/p) · tr(R²) + p²) / ((n + 1 − 2/p) · (tr(R²) − p)))

    With few vectors, λ is close to 1, and whitening only equalises the variances of columns. Constant columns become 0.

    A vector of zeros has no direction. Models return it for tiles without any input. It is mapped to zeros in every
    form, as is a vector with y = 0.

    Attributes:
        form: `raw`, `centred`, `balanced` or `whitened`.
        mean: vector that is subtracted; None for `raw`. float64 [D]
        scale: factor of each column of x − μ; None if all are 1. float64 [D]
        matrix: matrix M with y = (x − μ) · M; only for `whitened`. float64 [D, D]
        shrinkage: weight λ; 0 for all but `whitened`.
    """

    def __init__(
        self,
        form: Form,
        mean: NDArray[np.float64] | None = None,
        matrix: NDArray[np.float64] | None = None,
        shrinkage: float = 0.0,
        scale: NDArray[np.float64] | None = None,
    ) -> None:
        self.form, self.mean, self.matrix, self.shrinkage, self.scale = form, mean, matrix, shrinkage, scale

    @classmethod
    def fit(cls, statistics_of_regions: Sequence[VectorStatistics], form: Form = DEFAULT_FORM) -> SearchSpace:
        """Returns the space of the vectors of one or several regions.

        Args:
            statistics_of_regions: statistics of the vectors of each region, such as
                `Embeddings.statistics("tile/vector")`. Give the regions in a fixed order: it decides the rounding.
            form: `raw`, `centred`, `balanced` or `whitened`.

        Raises:
            ValueError: `form` is unknown, no statistics are given, or vectors have different numbers of values.
        """
        if form not in FORMS:
            raise ValueError(f"unknown form `{form}`, expected {', '.join(FORMS)}")
        total = combine(statistics_of_regions)
        if form == "raw":
            return cls(form)
        if form == "centred":
            return cls(form, total.mean)
        if form == "balanced":
            return cls(form, total.mean, scale=_scale_of_parts(total))
        matrix, shrinkage = _whitening(total)
        return cls(form, total.mean, matrix, shrinkage)

    @overload
    def project(self, vectors: Array) -> NDArray[np.float32]: ...
    @overload
    def project(self, vectors: Tensor) -> Tensor: ...
    def project(self, vectors: Array | Tensor) -> NDArray[np.float32] | Tensor:
        """Maps vectors to unit vectors, on the CPU.

        Args:
            vectors: array or tensor of any float type [N, D].

        Returns:
            Unit vectors, or zeros, as an array or tensor like `vectors`. float32 [N, D]
        """
        rows = vectors.detach().cpu().numpy() if isinstance(vectors, Tensor) else vectors
        found = np.empty(rows.shape, np.float32)
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(begin, begin + _ROWS_AT_ONCE)
            found[part] = unit_rows(self.transform(rows[part]))
        return torch.from_numpy(found) if isinstance(vectors, Tensor) else found

    def transform(self, vectors: Array) -> NDArray[np.float64]:
        """Maps vectors [N, D] to y, before the division by the norm. Zeros stay zeros. float64 [N, D]"""
        rows = np.asarray(vectors, np.float64)
        if self.mean is None:
            return rows
        found = rows - self.mean
        found[~rows.any(axis=1)] = 0.0
        if self.scale is not None:
            found *= self.scale
        return found if self.matrix is None else np.asarray(found @ self.matrix)

    def pull(self, queries: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns vectors a with a · (x − μ) = u · y, for vectors u in the space. float64 [q, D]"""
        mapped = queries if self.matrix is None else queries @ self.matrix.T
        return mapped if self.scale is None else mapped * self.scale


def unit_rows(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides each row by its norm. Rows of zeros stay zeros. float64 [N, D]"""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))


def _scale_of_parts(total: VectorStatistics) -> NDArray[np.float64] | None:
    """Returns the factor of each column in the form `balanced`. None without known parts. float64 [D]"""
    if not total.parts:
        return None
    variance, scale, first = total.scatter.diagonal() / max(1, total.count), np.zeros(total.width), 0
    for name, width in total.parts:
        columns = slice(first, first + width)
        spread, size = float(variance[columns].sum()), float((total.mean[columns] ** 2).sum())
        if spread > _CONSTANT**2 * (spread + size):  # a constant part tells nothing
            scale[columns] = PART_WEIGHTS.get(name, 1.0) / spread**0.5
        first += width
    return scale


def _whitening(total: VectorStatistics) -> tuple[NDArray[np.float64], float]:
    """Returns the matrix M [D, D] of `SearchSpace`, and the shrinkage λ."""
    variance = total.scatter.diagonal() / max(1, total.count)
    varies = variance > _CONSTANT**2 * (variance + total.mean**2)
    matrix = np.zeros_like(total.scatter)
    if not varies.any():
        return matrix, 1.0
    scale = 1.0 / np.sqrt(variance[varies])
    places = np.ix_(varies, varies)
    correlation = total.scatter[places] / total.count * np.outer(scale, scale)
    shrinkage = max(_LEAST_SHRINKAGE, _oas_shrinkage(correlation, total.count))
    values, directions = np.linalg.eigh(correlation)
    values = (1.0 - shrinkage) * np.maximum(values, 0.0) + shrinkage
    matrix[places] = scale[:, None] * ((directions / np.sqrt(values)) @ directions.T)
    return matrix, shrinkage


def _oas_shrinkage(correlation: NDArray[np.float64], count: int) -> float:
    width = len(correlation)
    squares = float((correlation**2).sum())
    spread = squares - width
    if spread <= 0:
        return 1.0
    return min(1.0, ((1 - 2 / width) * squares + width**2) / ((count + 1 - 2 / width) * spread))
