"""Encoding of exported vectors: fewer dimensions, and float32, float16 or int8 with a scale and an offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.export.components import Projection
from geojepa_cli.export.vector_rows import Floats, VectorRows, blocks
from geojepa_cli.store.csr import Rows

DTYPES = ("float32", "float16", "int8")
_LEVELS = 127  # values of int8 are -127 to 127


@dataclass(frozen=True)
class Encoding:
    """Converts vectors to the values that are stored in a file, and back.

    Attributes:
        dtype: `float32`, `float16` or `int8`.
        width: number of stored values of a vector.
        projection: projection to fewer dimensions, which comes first; None for all dimensions.
        scale, offset: a dimension of a vector is offset + scale · stored value, float32 [width]. None except for int8.
    """

    dtype: str
    width: int
    projection: Projection | None = None
    scale: Floats | None = None
    offset: Floats | None = None

    def encode(self, vectors: Floats) -> NDArray[Any]:
        """Returns the stored values of vectors.

        Args:
            vectors: vectors, float32 [n, original width].

        Raises:
            DataError: a value exceeds the range of float16.
        """
        values = vectors if self.projection is None else self.projection.apply(vectors)
        if self.scale is not None and self.offset is not None:
            steps = np.round((values - self.offset) / self.scale)
            return np.clip(steps, -_LEVELS, _LEVELS).astype(np.int8)
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                halves = values.astype(np.float16)
            if not np.isfinite(halves).all():
                message = f"a vector has a value of {np.abs(values).max():g}: float16 ends at 65,504"
                raise DataError(message, hints.again(dtype="int8"))
            return halves
        return values

    def decode(self, stored: NDArray[Any]) -> Floats:
        """Returns vectors as a reader of the file gets them, float32 [n, width]."""
        values = stored.astype(np.float32)
        if self.scale is not None and self.offset is not None:
            values = values * self.scale + self.offset
        return values


class DecodedVectors:
    """Vectors as a reader of the exported file gets them."""

    def __init__(self, of: VectorRows, encoding: Encoding) -> None:
        self._of, self._encoding = of, encoding
        self.count, self.width = of.count, encoding.width

    def read(self, rows: Rows) -> Floats:
        """Returns the vectors in the given rows, float32 [m, width]."""
        return self._encoding.decode(self._encoding.encode(self._of.read(rows)))


def fit_encoding(vectors: VectorRows, dtype: str, projection: Projection | None = None) -> Encoding:
    """Returns the encoding of vectors.

    The 255 values of an int8 dimension cover the range of this dimension over all vectors, in equal steps.

    Args:
        vectors: all vectors.
        dtype: type of the stored values: `float32`, `float16` or `int8`.
        projection: projection to fewer dimensions; None for all dimensions.
    """
    width = vectors.width if projection is None else len(projection.components)
    if dtype != "int8":
        return Encoding(dtype, width, projection)
    low, high = np.full(width, np.inf, np.float32), np.full(width, -np.inf, np.float32)
    for _, block in blocks(vectors):
        values = block if projection is None else projection.apply(block)
        low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    scale = (high - low) / np.float32(2 * _LEVELS)
    offset = low + (high - low) / np.float32(2)
    return Encoding(dtype, width, projection, np.where(scale > 0, scale, np.float32(1)), offset)
