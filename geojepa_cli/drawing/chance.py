"""Random numbers that depend only on a seed and on integers, such as the id of an OSM element.

An OSM element has the same random numbers in every tile, whatever the order and the process in which tiles are drawn.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(bits) for bits in (30, 27, 31, 11))


class Purpose(IntEnum):
    """Use of a random number. Numbers of different uses are independent."""

    MISSING = 1
    SHADOW = 2
    PALETTE = 3
    BRIGHTNESS = 4
    RED = 5
    GREEN = 6
    BLUE = 7
    SUN_AZIMUTH = 8
    SUN_ELEVATION = 9
    COARSE = 10


def chance(seed: int, purpose: Purpose, *keys: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns uniform random numbers from 0 (included) to 1 (excluded): float64, in the common shape of the keys.

    The hash is SplitMix64 (Steele et al. 2014), applied to the seed, the purpose and one key after the other.

    Args:
        seed: random seed.
        purpose: use of the numbers.
        keys: integers or arrays of integers. The numbers depend on their values and on their order.
    """
    state = _mix(np.uint64(seed), np.uint64(purpose))
    for key in keys:
        state = _mix(state, np.asarray(key).astype(np.int64).view(np.uint64))
    return np.asarray((state >> _S11) * 2.0**-53)


def _mix(state: npt.NDArray[np.uint64] | np.uint64, key: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64
        mixed = np.asarray(state ^ key, np.uint64) + _GOLDEN
        mixed = (mixed ^ (mixed >> _S30)) * _MIX_1
        mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
        return np.asarray(mixed ^ (mixed >> _S31))
