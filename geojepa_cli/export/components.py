"""Principal components of vectors: fewer dimensions, and colours.

The components are those of the vectors scaled to length 1, because `knn` compares directions. So long vectors do not
count more than short ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.export.vector_rows import Floats, VectorRows, block_rows

Matrix = NDArray[np.float64]
FITTED_ROWS = 200_000  # the components of more vectors are those of a sample
_RANGE = 2.5  # standard deviations on both sides of the mean that the 256 values of a colour cover


class Moments(NamedTuple):
    """Moments of vectors of length 1.

    Attributes:
        mean: mean vector, float64 [width].
        second: mean of x xᵀ, float64 [width, width].
        rows: number of vectors.
    """

    mean: Matrix
    second: Matrix
    rows: int


class Projection(NamedTuple):
    """A linear map to fewer dimensions: x → components · x.

    Attributes:
        components: orthonormal rows, float32 [dimensions, width].
        explained: share of the squared length of the vectors (of length 1) that remains.
    """

    components: Floats
    explained: float

    def apply(self, vectors: Floats) -> Floats:
        """Returns projected vectors, float32 [n, dimensions]."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the number of threads changes the rounding
            found: Floats = vectors @ self.components.T
        return found


class Colours(NamedTuple):
    """The first three principal components of vectors as red, green and blue.

    Attributes:
        mean: mean of the vectors of length 1, float64 [width].
        components: directions of largest variance around the mean, float64 [3, width].
        deviations: standard deviations along them, float64 [3].
    """

    mean: Matrix
    components: Matrix
    deviations: Matrix

    def apply(self, vectors: Floats) -> NDArray[np.uint8]:
        """Returns the colour of each vector, uint8 [n, 3]. The mean vector is grey (128)."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            values = (unit(vectors) - self.mean) @ self.components.T
        scaled = 128.0 + values * (127.5 / _RANGE) / np.where(self.deviations > 0, self.deviations, 1.0)
        return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def fit_moments(vectors: VectorRows, seed: int = 0) -> Moments:
    """Computes the moments of the vectors scaled to length 1, or of a random sample of `FITTED_ROWS` of them."""
    from threadpoolctl import threadpool_limits

    rows = np.arange(vectors.count)
    if vectors.count > FITTED_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(vectors.count, FITTED_ROWS, replace=False))
    mean, second = np.zeros(vectors.width), np.zeros((vectors.width, vectors.width))
    step = max(1, block_rows(vectors.width) // 8)  # float64, and several of them at once
    with threadpool_limits(1):
        for first in range(0, len(rows), step):
            block = unit(vectors.read(rows[first : first + step]))
            mean += block.sum(axis=0)
            second += block.T @ block
    return Moments(mean / len(rows), second / len(rows), len(rows))


def fit_projection(moments: Moments, dimensions: int) -> Projection:
    """Returns the projection to the first principal components, which changes cosines least.

    The components are not centred: they are the eigenvectors of the mean of x xᵀ. The sum of squared differences
    between all dot products before and after the projection is then the smallest possible (Eckart and Young 1936).
    Centred components could lose the mean vector, on which cosines depend.
    """
    values, vectors = _largest(moments.second, dimensions)
    return Projection(vectors.astype(np.float32), float(values.sum() / np.trace(moments.second)))


def fit_colours(moments: Moments) -> Colours:
    """Returns the map from vectors to colours, from the first three principal components around the mean."""
    covariance = moments.second - np.outer(moments.mean, moments.mean)
    values, vectors = _largest(covariance, 3)
    missing = 3 - len(values)  # vectors of one or two dimensions
    values, vectors = np.pad(values, (0, missing)), np.pad(vectors, ((0, missing), (0, 0)))
    return Colours(moments.mean, vectors, np.sqrt(np.maximum(values, 0.0)))


def unit(vectors: Floats) -> Matrix:
    """Returns the vectors scaled to length 1, float64 [n, width]. A zero vector stays zero."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    found: Matrix = wide / np.where(lengths > 0, lengths, 1.0)
    return found


def _largest(symmetric: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Returns the largest eigenvalues [count] and their eigenvectors as rows [count, width], in descending order.

    The sign of an eigenvector is arbitrary: the value with the largest magnitude is made positive.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        values, vectors = np.linalg.eigh(symmetric)
    values, rows = values[::-1][:count], vectors.T[::-1][:count]
    peaks = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return values, rows * np.where(peaks < 0, -1.0, 1.0)
