"""Train, validation and test by zoom-14 group, and the thinning of label-0 tiles: by seeded hashes of names.

A hash depends on nothing but its own name and the seed, so that no tile changes sides when regions are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import GROUP_ZOOM

SPLITS = ("train", "val", "test")
SHARES = (0.8, 0.1, 0.1)
FEW_TEST_GROUPS = 20

Splits = NDArray[np.uint8]
Groups = NDArray[np.int64]  # column << 32 | row of the zoom-14 group, as `TileStore.groups`


def hash_fractions(names: Iterable[str], salt: str) -> NDArray[np.float64]:
    """A number in [0, 1) for every name: the first 8 bytes of BLAKE2b(`salt/name`), over 2^64."""
    digests = b"".join(hashlib.blake2b(f"{salt}/{name}".encode(), digest_size=8).digest() for name in names)
    return (np.frombuffer(digests, ">u8") >> np.uint64(11)) / np.float64(1 << 53)  # 53 bits: exact in a double


def group_names(groups: Groups) -> list[str]:
    """`14_X_Y` of every group."""
    return [f"{GROUP_ZOOM}_{group >> 32}_{group & 0xFFFFFFFF}" for group in groups.tolist()]


def split_groups(groups: Groups, seed: int, shares: Sequence[float] = SHARES) -> Splits:
    """The split of every row by its group: 0 train, 1 val, 2 test, uint8 [n].

    Args:
        groups: the zoom-14 group of every row, int64 [n].
        seed: another seed draws other groups.
        shares: of train, validation and test; their sum is 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1.0) > 1e-9:
        raise UsageError(f"shares of train, val and test must sum to 1, got {list(shares)}")
    bounds = np.cumsum(shares)[:-1]
    return np.searchsorted(bounds, _by_group(groups, f"split/{seed}"), side="right").astype(np.uint8)


def fold_groups(groups: Groups, k: int, seed: int) -> Splits:
    """The fold 0..k-1 of every row by its group, uint8 [n]; as stable as the split, so folds are of unlike size."""
    if not 2 <= k <= 255:
        raise UsageError(f"the number of folds must lie in 2..255, got {k}")
    return np.floor(_by_group(groups, f"fold/{seed}") * k).astype(np.uint8)


def check_splits(split: Splits, kept: NDArray[np.bool_], groups: Groups, strict: bool = False) -> list[str]:
    """What is wrong with a split of the kept tiles, as warnings.

    Raises:
        DataError: `strict`, and a split has no tile.
    """
    counts = groups_per_split(split, kept, groups)
    empty = [name for name in SPLITS if counts[name] == 0]
    if empty and strict:
        names = " and ".join(f"`{name}`" for name in empty)
        raise DataError(f"no tile falls into {names}", hint="add a region, take another --seed, or cross-validate")
    warnings = [f"no tile falls into `{name}`" for name in empty]
    if 0 < counts["test"] < FEW_TEST_GROUPS:
        warnings.append(
            f"only {counts['test']} test groups (zoom-14 blocks), fewer than {FEW_TEST_GROUPS}: "
            "figures on them say little, cross-validate over groups instead"
        )
    return warnings


def groups_per_split(split: Splits, kept: NDArray[np.bool_], groups: Groups) -> dict[str, int]:
    """Distinct groups with a kept tile, by split."""
    return {name: len(np.unique(groups[kept & (split == number)])) for number, name in enumerate(SPLITS)}


def survives_thinning(tile_names: Sequence[str], share: float, task: str, seed: int) -> NDArray[np.bool_]:
    """Whether every tile would be kept if its label were 0, bool [n]: a seeded hash of its name below `share`."""
    if share >= 1.0:
        return np.ones(len(tile_names), np.bool_)
    return hash_fractions(tile_names, f"thin/{task}/{seed}") < share


def _by_group(groups: Groups, salt: str) -> NDArray[np.float64]:
    """The hash of every row's group, float64 [n]; each group is hashed once."""
    unique, inverse = np.unique(groups, return_inverse=True)
    return hash_fractions(group_names(unique), salt)[inverse]
