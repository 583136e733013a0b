"""Splits of tiles into train, validation and test, folds for cross-validation, and thinning.

The zoom-14 tile that contains a tile is the tile's group. Splits and folds are decided by a seeded hash of the group's
name. Thinning removes some of the tiles with label 0; it is decided by a hash of the tile's name. So adding a region
never moves a tile to another split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import MAX_FOLDS, MIN_GROUPS, MIN_TILES
from geojepa_cli.console import counted
from geojepa_cli.errors import UsageError
from geojepa_cli.grid import GROUP_ZOOM

SPLITS = ("train", "val", "test")
BUFFER = len(SPLITS)  # in the split column: tiles near a test group, used neither for training nor for validation
PARTS = (*SPLITS, "buffer")
SHARES = (0.8, 0.1, 0.1)
FEW_TEST_GROUPS = 20
RANDOM_SPLIT = "RANDOM SPLIT: train and test have neighbouring tiles, so scores are too good; do not report them"
_SIDE = 1 << GROUP_ZOOM

PartNumbers = NDArray[np.uint8]  # one per tile: index of its split in PARTS, or of its fold
Groups = NDArray[np.int64]  # column << 32 | row of the zoom-14 group, as in `TileStore.groups`


@dataclass(frozen=True)
class SplitRule:
    """Rule that assigns tiles to train, validation and test.

    Attributes:
        seed: seed of the hashes.
        by: `group`: all tiles in the same zoom-14 tile (group) are in the same split. `random`: each tile is assigned
            to a split separately, so that neighbouring tiles are in different splits. A random split serves only to
            measure how much leakage improves scores.
        folds: number of folds for cross-validation; None for no folds.
        buffer: True to leave the groups next to a test group out of training and validation.

    Raises:
        UsageError: a value is out of range, or two values cannot be combined.
    """

    seed: int = 0
    by: str = "group"
    folds: int | None = None
    buffer: bool = False

    def __post_init__(self) -> None:
        if self.by not in ("group", "random"):
            raise UsageError(f"unknown split `{self.by}`; expected `group` or `random`", hints.again(split="group"))
        if self.folds is not None:
            _check_folds(self.folds)
        if self.buffer and self.by == "random":
            raise UsageError("`--buffer` cannot be combined with `--split random`", hints.again(split="group"))

    def as_json(self) -> dict[str, Any]:
        """Returns the rule as a dict for JSON, as in the file `report.json`."""
        return {"by": self.by, "seed": self.seed, "folds": self.folds, "buffer": self.buffer}

    def splits(self, groups: Groups, names: Sequence[str]) -> PartNumbers:
        """Returns the split of every tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer (not used).

        Args:
            groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
            names: names of the tiles; only a random split uses them.
        """
        if self.by == "random":
            return split_by(hash_fractions(names, f"random/{self.seed}"))
        split = split_groups(groups, self.seed)
        return with_buffer(groups, split, self.seed) if self.buffer else split

    def fold_numbers(self, groups: Groups, names: Sequence[str]) -> PartNumbers | None:
        """Returns the fold of every tile, from 0 to `folds` - 1, uint8 [n]; None if the rule has no folds."""
        if self.folds is None:
            return None
        if self.by == "random":
            return _floor(hash_fractions(names, f"random-fold/{self.seed}"), self.folds)
        return fold_groups(groups, self.folds, self.seed)


def hash_fractions(names: Iterable[str], salt: str) -> NDArray[np.float64]:
    """Returns for every name a hash in [0, 1): the first 8 bytes of BLAKE2b(`salt/name`), divided by 2^64."""
    digests = b"".join(hashlib.blake2b(f"{salt}/{name}".encode(), digest_size=8).digest() for name in names)
    return (np.frombuffer(digests, ">u8") >> np.uint64(11)) / np.float64(1 << 53)  # 53 bits: exact in a double


def group_names(groups: Groups) -> list[str]:
    """Returns the name `14_X_Y` of each zoom-14 tile (group), given as a number."""
    return [f"{GROUP_ZOOM}_{group >> 32}_{group & 0xFFFFFFFF}" for group in groups.tolist()]


def group_number(name: str) -> int:
    """Returns the number of a zoom-14 tile (group) with the name `14_X_Y`.

    Raises:
        ValueError: the text is not the name of a zoom-14 tile.
    """
    zoom, x, y = (int(part) if part.isascii() and part.isdecimal() else -1 for part in name.split("_"))
    if zoom != GROUP_ZOOM or not (0 <= x < _SIDE and 0 <= y < _SIDE):
        raise ValueError(f"`{name}`")
    return x << 32 | y


def split_groups(groups: Groups, seed: int, shares: Sequence[float] = SHARES) -> PartNumbers:
    """Assigns tiles to splits by the zoom-14 tile that contains them (their group). uint8 [n]: 0 train, 1 val, 2 test.

    Args:
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        seed: seed of the hashes.
        shares: shares of train, validation and test; their sum is 1.
    """
    return split_by(_by_group(groups, f"split/{seed}"), shares)


def split_by(fractions: NDArray[np.float64], shares: Sequence[float] = SHARES) -> PartNumbers:
    """Assigns numbers in [0, 1) to splits, uint8 [n]: 0 train, 1 val, 2 test.

    With the default shares, numbers below 0.8 are assigned to train, below 0.9 to val, and the others to test.

    Raises:
        ValueError: there are not three shares, a share is negative, or their sum is not 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1.0) > 1e-9:
        raise ValueError(f"shares of train, val and test must sum to 1, got {list(shares)}")
    return np.searchsorted(np.cumsum(shares)[:-1], fractions, side="right").astype(np.uint8)


def fold_groups(groups: Groups, k: int, seed: int) -> PartNumbers:
    """Assigns every tile to a fold, 0 to k - 1, by the zoom-14 tile that contains it (its group). uint8 [n].

    The fold is chosen by a hash of the group's name, so that adding data never moves a tile to another fold. Therefore,
    folds can differ in size.
    """
    return _floor(_by_group(groups, f"fold/{seed}"), k)


def with_buffer(groups: Groups, split: PartNumbers, seed: int) -> PartNumbers:
    """Assigns training and validation tiles that are close to the test set to the buffer, which is not used.

    A tile is close if the zoom-14 tile that contains it (its group) touches a test group, also at a corner.
    The hash of a group's name alone decides whether the group is a test group. So a group without tiles in the data can
    be a test group, and adding a region never changes the buffer.

    Args:
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        split: result of `split_groups` for these groups and the same seed, uint8 [n].
        seed: seed of the split.

    Returns:
        Split of every tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer (not used).
    """
    unique, inverse = np.unique(groups, return_inverse=True)
    around = neighbours(unique)
    tested: NDArray[np.bool_] = split_groups(around.ravel(), seed) == SPLITS.index("test")
    near = np.asarray(tested.reshape(around.shape).any(axis=1), np.bool_)
    return np.where(near[inverse] & (split != SPLITS.index("test")), np.uint8(BUFFER), split).astype(np.uint8)


def next_to(groups: Groups, chosen: Groups) -> NDArray[np.bool_]:
    """Returns True for tiles whose zoom-14 tile is in `chosen` or touches one in `chosen`, also at a corner. bool [n]

    Args:
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        chosen: numbers of zoom-14 tiles, int64.
    """
    unique, inverse = np.unique(groups, return_inverse=True)
    touched = np.isin(np.column_stack([unique, neighbours(unique)]), chosen)
    near = np.asarray(touched.any(axis=1), np.bool_)
    return near[inverse]


def neighbours(groups: Groups) -> Groups:
    """Returns the eight neighbouring zoom-14 tiles (groups) of each group, int64 [n, 8].

    At the antimeridian, the neighbour is the group on the other side. At the north and south edges of the Web Mercator
    map, the group itself is returned in place of a missing neighbour.
    """
    steps = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
    x: Groups = ((groups >> 32)[:, None] + np.array([dx for dx, _ in steps])) % _SIDE
    y: Groups = (groups & 0xFFFFFFFF)[:, None] + np.array([dy for _, dy in steps])
    return np.where((y >= 0) & (y < _SIDE), x << 32 | y, groups[:, None])


def empty_parts(counts: dict[str, int]) -> list[str]:
    """Returns the names of splits or folds without any tile, in back-ticks. An empty buffer is not returned.

    Args:
        counts: number of tiles by name of the split or fold.
    """
    return [f"`{name}`" for name, count in counts.items() if count == 0 and name != PARTS[BUFFER]]


def too_few(tiles: int, groups: int, random: bool = False) -> str:
    """Returns how many labelled tiles and groups (zoom-14 tiles) there are, and how many a probe needs.

    Returns an empty text if they are enough. With `random`, test tiles can lie in the groups of training tiles, so the
    number of groups does not count.
    """
    if tiles >= MIN_TILES and (groups >= MIN_GROUPS or random):
        return ""
    found = counted(tiles, "labelled tile") + ("" if random else f" in {counted(groups, 'zoom-14 group')}")
    return f"{found}, expected at least {MIN_TILES} tiles in {MIN_GROUPS} groups"


def few_groups(count: int) -> list[str]:
    """Returns a list of warnings: one if the test tiles lie in 1 to 19 zoom-14 tiles, otherwise none."""
    if not 0 < count < FEW_TEST_GROUPS:
        return []
    return [
        f"only {counted(count, 'test group')} (of zoom 14), fewer than {FEW_TEST_GROUPS}: "
        "scores are unreliable, cross-validate over groups instead"
    ]


def few_tested(groups: int) -> str:
    """Returns a warning to append to a description of scores, if they come from fewer than 20 groups (zoom-14 tiles).

    Otherwise, returns an empty text.
    """
    return f"; fewer than {FEW_TEST_GROUPS} groups: no claim" if groups < FEW_TEST_GROUPS else ""


def groups_in(groups: Groups, rows: NDArray[np.bool_]) -> int:
    """Returns the number of zoom-14 tiles that contain at least one of the selected tiles.

    Args:
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        rows: True for the selected tiles, bool [n].
    """
    return len(np.unique(groups[rows]))


def survives_thinning(tile_names: Sequence[str], share: float, task: str, seed: int) -> NDArray[np.bool_]:
    """Returns True for tiles with label 0 that are kept, and False for those that are removed. bool [n]

    Tiles are removed to reduce their number (thinning). A tile is kept if the seeded hash of its name, from 0 to 1, is
    below `share`.

    Args:
        tile_names: names of the n tiles with label 0.
        share: share of these tiles to keep, from 0 to 1.
        task: name of the task. Different tasks keep different tiles.
        seed: seed of the hashes.
    """
    if share >= 1.0:
        return np.ones(len(tile_names), np.bool_)
    return hash_fractions(tile_names, f"thin/{task}/{seed}") < share


def _floor(fractions: NDArray[np.float64], k: int) -> PartNumbers:
    _check_folds(k)
    return np.floor(fractions * k).astype(np.uint8)


def _check_folds(k: int) -> None:
    if not 2 <= k <= MAX_FOLDS:
        raise UsageError(f"`--folds {k}`: expected 2 to {MAX_FOLDS}", hints.again(folds=5))


def _by_group(groups: Groups, salt: str) -> NDArray[np.float64]:
    """Returns for every tile the hash of the name of its zoom-14 tile (group), a number in [0, 1). float64 [n]"""
    unique, inverse = np.unique(groups, return_inverse=True)
    return hash_fractions(group_names(unique), salt)[inverse]
