"""Data of a probe: the tiles of a task, and the folds in which heads are fitted and tested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import counted
from geojepa_cli.errors import DataError
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, SPLITS, next_to

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

FOLDS = 5
MIN_TILES = 20
MIN_GROUPS = 3


@dataclass(frozen=True)
class ProbeData:
    """The n eligible tiles of a task.

    Attributes:
        labels: label of each tile, float64 [n].
        kept: True for tiles that were not thinned out, bool [n].
        split: split of each tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer.
        groups: zoom-14 group of each tile, int64 [n].
        clamp: minimum and maximum of predictions; None uses the minimum or maximum of the training labels.
        binary: True if all labels are 0 or 1.
        task_fold: fold of each tile in the task, uint8 [n]; None if the task was built without folds.
        buffer: if True, groups next to tested groups are used neither for fitting nor for validation.
        random: True if tiles were split one by one, so that neighbouring tiles are in train and in test.
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

    @property
    def test_groups(self) -> int:
        """Number of groups of the test split with a kept tile."""
        return len(np.unique(self.groups[self.kept & (self.split == SPLITS.index("test"))]))


@dataclass(frozen=True)
class Fold:
    """Rows for training, validation and testing. No row is in two of these sets.

    Attributes:
        train, val, test: rows of `ProbeData`, int64.
        number: index of the fold; 0 for the test split.
    """

    train: Rows
    val: Rows
    test: Rows
    number: int = 0


def probe_data(task: TaskData) -> tuple[Rows, ProbeData]:
    """Returns the eligible tiles of a task: their rows in the store, int64 [n], and their data."""
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
    )


def make_folds(data: ProbeData, seed: int = 0) -> list[Fold]:
    """Returns the folds of a probe.

    These are the folds of the task, if it has any. Otherwise it is one fold with the task's split, if the split is
    random or has at least 20 test groups. Otherwise these are 5 folds over groups (cross-validation).

    Heads are fitted to kept tiles only. All eligible tiles of the test groups are tested, so that the unthinned score
    comes from the same heads.

    Args:
        data: tiles of the task.
        seed: seed of the cross-validation folds.

    Raises:
        DataError: there are too few tiles or groups, or the buffer leaves no tile to train on.
    """
    if data.task_fold is not None:
        _check_size(data)
        return _make_folds(data, data.task_fold.astype(np.int64))
    train, val = (np.flatnonzero(data.kept & (data.split == part)) for part in range(2))
    if data.test_groups >= (1 if data.random else FEW_TEST_GROUPS) and len(train) >= MIN_TILES:
        return [Fold(train, val, np.flatnonzero(data.split == SPLITS.index("test")))]
    return cross_validation_folds(data, FOLDS, seed)


def cross_validation_folds(data: ProbeData, k: int, seed: int = 0) -> list[Fold]:
    """Returns k folds over groups; every group is tested in one fold, and the next fold is the validation set.

    Args:
        data: tiles of the task.
        k: number of folds.
        seed: seed of the assignment of groups to folds.

    Raises:
        DataError: there are fewer than 20 kept tiles or fewer than three groups.
    """
    _check_size(data)
    return _make_folds(data, _assign(data, k, seed))


def _check_size(data: ProbeData) -> None:
    """Checks that there are enough kept tiles and groups for cross-validation.

    Raises:
        DataError: there are too few.
    """
    tiles, groups = int(data.kept.sum()), len(np.unique(data.groups[data.kept]))
    if tiles < MIN_TILES or groups < MIN_GROUPS:
        few = f"{counted(tiles, 'labelled tile')} in {counted(groups, 'zoom-14 group')}"
        message = f"too few tiles to probe: {few}, expected at least {MIN_TILES} tiles in {MIN_GROUPS} groups"
        raise DataError(message)


def _make_folds(data: ProbeData, fold: NDArray[np.int64]) -> list[Fold]:
    """Returns one fold for each fold index that has a tile. With a buffer, groups next to test groups are not fitted.

    Args:
        data: tiles of the task.
        fold: fold index in which each tile is tested, int64 [n].

    Raises:
        DataError: a fold has no tile to train on, or no kept tile is tested.
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
        raise DataError("the task has no tile for testing")
    return made


def _assign(data: ProbeData, k: int, seed: int) -> NDArray[np.int64]:
    """Returns the fold of every row. Folds have similar numbers of kept tiles; groups without one are only tested."""
    fold = np.full(len(data.labels), -1, np.int64)
    fold[data.kept] = group_folds(data.groups[data.kept], k, seed)
    names, first = np.unique(data.groups[data.kept], return_index=True)
    of_group = dict(zip(names.tolist(), fold[data.kept][first].tolist(), strict=True))
    count = int(fold.max()) + 1
    for group in np.unique(data.groups[~data.kept]).tolist():
        of_group.setdefault(group, group % count)
    return np.array([of_group[group] for group in data.groups.tolist()], np.int64)
