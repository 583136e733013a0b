"""Data of a probe: the labels and splits of a task's tiles, and the folds in which prediction heads are tested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.limits import FOLDS, MIN_TILES
from geojepa_cli.errors import DataError
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, SPLITS, next_to, too_few

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeData:
    """Labels and splits of the n eligible tiles of a task.

    A tile is eligible if it has a label and was not excluded by an option of `build-tasks` such as `--min-entities`.

    Attributes:
        labels: label of each tile, float64 [n].
        kept: False for tiles with label 0 that were removed to reduce their number (thinning), bool [n].
        split: split of each tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer (not used, because next to test groups).
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        clamp: pair (minimum, maximum) to which predictions are limited. If one of the two is None, the minimum or
            maximum of the training labels is used instead.
        binary: True if all labels are 0 or 1.
        task_fold: fold to which the task assigns each tile, uint8 [n]; None if the task was built without folds.
        buffer: True to leave the groups next to tested groups out of training and validation.
        random: True if each tile was assigned to a split separately, so that training and test tiles are neighbours.
        absent: label of tiles that have nothing to measure, such as −100 for tiles without a road; None if there is no
            such label.
    """

    labels: Floats
    kept: NDArray[np.bool_]
    split: NDArray[np.uint8]
    groups: NDArray[np.int64]
    clamp: tuple[float | None, float | None] = (None, None)
    binary: bool = False
    task_fold: NDArray[np.uint8] | None = None
    buffer: bool = False
    random: bool = False
    absent: float | None = None

    @property
    def two_part(self) -> bool:
        """True if heads also predict in two parts: some labels are the absent value, and others are not.

        Tiles with label 0 that were removed to reduce their number (thinning) do not count.
        """
        if self.absent is None:
            return False
        missing = self.labels[self.kept] == self.absent
        return bool(missing.any()) and not bool(missing.all())

    @property
    def test_groups(self) -> int:
        """Number of groups (zoom-14 tiles) with at least one test tile.

        Does not count tiles with label 0 that were removed to reduce their number (thinning).
        """
        return len(np.unique(self.groups[self.kept & (self.split == SPLITS.index("test"))]))


@dataclass(frozen=True)
class Fold:
    """Tiles for training, validation and testing in one fold. No tile is in two of these sets.

    Attributes:
        train, val, test: indexes of the tiles in the arrays of `ProbeData`, int64.
        number: index of the fold; 0 if the split of the task is used instead of folds.
    """

    train: Rows
    val: Rows
    test: Rows
    number: int = 0


def probe_data(task: TaskData) -> tuple[Rows, ProbeData]:
    """Returns the labels and splits of the n eligible tiles of a task. `ProbeData` explains which tiles are eligible.

    Returns:
        The index of each eligible tile in the dataset, int64 [n]; and the `ProbeData` of these tiles.
    """
    rows = np.flatnonzero(task.eligible)
    return rows, ProbeData(
        labels=task.labels[rows].astype(np.float64),
        kept=task.kept[rows],
        split=task.split[rows],
        groups=task.groups[rows].astype(np.int64),
        clamp=task.spec.label.clamp,
        binary=task.spec.binary,
        task_fold=None if task.fold is None else task.fold[rows],
        buffer=task.rule.buffer,
        random=task.rule.by == "random",
        absent=None if task.spec.label.absent is None else float(np.float32(task.spec.label.absent)),
    )


def make_folds(data: ProbeData, seed: int = 0, only: int | None = None) -> list[Fold]:
    """Returns the folds of a probe. A group is the set of tiles in one zoom-14 tile.

    1. If the task was built with folds, these folds are returned.
    2. Otherwise, the train/validation/test split of the task is the only fold, if it has at least 20 training tiles and
       at least 20 test groups (random split: at least one test group).
    3. Otherwise, the groups are assigned to 5 folds for cross-validation.

    Tiles with label 0 that were removed to reduce their number (thinning) are left out of training and validation sets,
    but not of test sets.

    Args:
        data: tiles of the task.
        seed: seed for the assignment of groups to the 5 folds.
        only: number of the only fold of the task to return. None: all folds.

    Raises:
        DataError: there are too few tiles or groups, a fold has no tile to train on, or no fold has a tile to test.
            Also raised if the task has no fold with the number `only`. A fold can lose all its training tiles if the
            task has a buffer, which leaves out the groups next to tested groups.
    """
    if data.task_fold is not None:
        _check_size(data)
        found = _make_folds(data, data.task_fold.astype(np.int64))
        return found if only is None else _only(found, data, only)
    if only is not None:
        raise DataError(f"the task has no folds, so fold {only} cannot be tested")
    train, val = (np.flatnonzero(data.kept & (data.split == part)) for part in range(2))
    if data.test_groups >= (1 if data.random else FEW_TEST_GROUPS) and len(train) >= MIN_TILES:
        return [Fold(train, val, np.flatnonzero(data.split == SPLITS.index("test")))]
    return cross_validation_folds(data, FOLDS, seed)


def _only(folds: list[Fold], data: ProbeData, number: int) -> list[Fold]:
    found = [fold for fold in folds if fold.number == number]
    if not found or not data.kept[found[0].test].any():
        raise DataError(f"fold {number} of the task has no tile to test")
    return found


def cross_validation_folds(data: ProbeData, k: int, seed: int = 0) -> list[Fold]:
    """Assigns groups (zoom-14 tiles) to k folds. Each fold is tested once, with the next fold as validation set.

    Args:
        data: tiles of the task.
        k: number of folds.
        seed: seed for the assignment of groups to folds.

    Raises:
        DataError: there are fewer than 20 tiles or fewer than three groups. Tiles with label 0 that were removed to
            reduce their number (thinning) are not counted.
    """
    _check_size(data)
    return _make_folds(data, _assign(data, k, seed))


def _check_size(data: ProbeData) -> None:
    """Checks that there are enough tiles and groups (zoom-14 tiles) for cross-validation.

    Raises:
        DataError: there are too few tiles or groups. Tiles with label 0 that were removed to reduce their number
            (thinning) are not counted.
    """
    tiles, groups = int(data.kept.sum()), len(np.unique(data.groups[data.kept]))
    if few := too_few(tiles, groups):
        raise DataError(f"too few tiles to probe: {few}")


def _make_folds(data: ProbeData, fold: NDArray[np.int64]) -> list[Fold]:
    """Returns the training, validation and test tiles of each fold.

    If `data.buffer` is True, groups (zoom-14 tiles) next to tested groups are left out of training and validation.

    Args:
        data: tiles of the task.
        fold: index of the fold in which each tile is tested, int64 [n].

    Raises:
        DataError: a fold has no tile to train on, or no fold has a test tile except tiles with label 0 that were
            removed to reduce their number (thinning).
    """
    count = int(fold.max(initial=-1)) + 1
    made = []
    for number in np.unique(fold).tolist():
        tested = fold == number
        allowed = data.kept & ~tested
        if data.buffer:
            allowed &= ~next_to(data.groups, np.unique(data.groups[tested]))
        val = allowed & (fold == (number + 1) % count)
        train = allowed & ~val
        if not train.any():
            train, val = val, train
        if not train.any():
            cause = "the buffer leaves no tile" if data.buffer else "there is no tile"
            message = f"{cause} to train on when fold {number} of {count} is tested"
            raise DataError(message)
        made.append(Fold(np.flatnonzero(train), np.flatnonzero(val), np.flatnonzero(tested), number))
    if not any(data.kept[fold.test].any() for fold in made):
        raise DataError("the task has no tile to test")
    return made


def _assign(data: ProbeData, k: int, seed: int) -> NDArray[np.int64]:
    """Returns the fold of every tile. Tiles in the same zoom-14 tile are in the same fold. Folds have similar sizes."""
    fold = np.full(len(data.labels), -1, np.int64)
    fold[data.kept] = group_folds(data.groups[data.kept], k, seed)
    names, first = np.unique(data.groups[data.kept], return_index=True)
    of_group = dict(zip(names.tolist(), fold[data.kept][first].tolist(), strict=True))
    count = int(fold.max()) + 1
    for group in np.unique(data.groups[~data.kept]).tolist():
        of_group.setdefault(group, group % count)
    return np.array([of_group[group] for group in data.groups.tolist()], np.int64)
