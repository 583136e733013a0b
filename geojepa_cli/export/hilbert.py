"""Order of places along a Hilbert curve: places that are close on the map are mostly close in a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BITS = 16  # of a coordinate on the grid of the curve
_AT_ONCE = 65_536  # places that are converted together


def hilbert_order(lonlat: Floats) -> NDArray[np.int64]:
    """Returns the row numbers of places in the order of a Hilbert curve through their bounding box, int64 [n].

    Places in the same cell of the curve's grid (65,536 × 65,536) keep their order.

    Args:
        lonlat: longitude and latitude of each place in degrees, float64 [n, 2].
    """
    if not len(lonlat):
        return np.empty(0, np.int64)
    low, high = lonlat.min(axis=0), lonlat.max(axis=0)
    cells = (1 << _BITS) - 1
    size = np.where(high > low, high - low, 1.0)
    distance = np.empty(len(lonlat), np.int64)
    for first in range(0, len(lonlat), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        grid = ((lonlat[part] - low) / size * cells).astype(np.int64)
        distance[part] = hilbert_distance(grid[:, 0], grid[:, 1], _BITS)
    return np.argsort(distance, kind="stable")


def hilbert_distance(x: NDArray[np.int64], y: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Returns the distance of cells along the Hilbert curve that fills a square of 2^bits × 2^bits cells, int64 [n].

    The curve is found from the largest quadrant to the smallest: each quadrant contains a
    smaller curve that is mirrored or turned.
    """
    x, y = x.copy(), y.copy()
    distance = np.zeros(len(x), np.int64)
    for bit in range(bits - 1, -1, -1):
        right, upper = (x >> bit) & 1, (y >> bit) & 1
        distance += ((3 * right) ^ upper) << (2 * bit)
        x, y = x & ((1 << bit) - 1), y & ((1 << bit) - 1)
        flipped = (upper == 0) & (right == 1)
        x, y = np.where(flipped, (1 << bit) - 1 - x, x), np.where(flipped, (1 << bit) - 1 - y, y)
        x, y = np.where(upper == 0, y, x), np.where(upper == 0, x, y)
    return distance
