"""The tiles of a task as a probe sees them, and the folds in which heads are fitted and tested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
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
    """The eligible tiles of a task: n rows.

    Attributes:
        labels: float64 [n].
        kept: bool [n], not thinned out.
        split: uint8 [n], 0 train, 1 val, 2 test, 3 buffer.
        groups: int64 [n], zoom-14 groups.
        clamp: fixed ends of the label range; None stands for that of the training labels.
        binary: all labels are 0 or 1.
        task_fold: uint8 [n], the folds with which the task was built; None where it was built without.
        buffer: groups next to tested ones are used neither for fitting nor for choosing settings.
        random: tiles were split one by one, so neighbours are in train and in test.
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
    """Rows for fitting, for choosing settings and for testing; no row is in two of them.

    Attributes:
        train, val, test: int64 rows of `ProbeData`.
        number: of the fold; 0 for the test split.
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
    """Returns the task's folds; or its split, if that is random or has 20 test groups; otherwise 5 folds over groups.

    Heads are fitted to kept tiles only. All eligible tiles of the test groups are tested, so that the same heads give
    the unthinned score.

    Raises:
        DataError: too few tiles or groups, or a buffer leaves nothing to train on.
    """
    if data.task_fold is not None:
        return _make_folds(data, data.task_fold.astype(np.int64))
    train, val = (np.flatnonzero(data.kept & (data.split == part)) for part in range(2))
    if data.test_groups >= (1 if data.random else FEW_TEST_GROUPS) and len(train) >= MIN_TILES:
        return [Fold(train, val, np.flatnonzero(data.split == SPLITS.index("test")))]
    return cross_validation_folds(data, FOLDS, seed)


def cross_validation_folds(data: ProbeData, k: int, seed: int = 0) -> list[Fold]:
    """Returns folds in which every group is tested once; the groups of the next fold are the validation set.

    Raises:
        DataError: fewer than 20 kept tiles, or fewer than three groups.
    """
    groups = len(np.unique(data.groups[data.kept]))
    if int(data.kept.sum()) < MIN_TILES or groups < MIN_GROUPS:
        message = f"{int(data.kept.sum())} labelled tiles in {groups} zoom-14 groups are too few to probe"
        raise DataError(message, _another_region())
    return _make_folds(data, _assign(data, k, seed))


def _make_folds(data: ProbeData, fold: NDArray[np.int64]) -> list[Fold]:
    """Tests every fold that has a tile once; with a buffer, groups next to it are not used for fitting.

    Raises:
        DataError: nothing is left to fit.
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
            cause = "the buffer leaves nothing" if data.buffer else "there is nothing"
            message = f"{cause} to train on where fold {number} of {count} is tested"
            raise DataError(message, _another_region())
        made.append(Fold(np.flatnonzero(train), np.flatnonzero(val), np.flatnonzero(tested), number))
    if not any(data.kept[fold.test].any() for fold in made):
        raise DataError("the task has no tile to test", _another_region())
    return made


def _assign(data: ProbeData, k: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row: balanced by kept tiles; groups without a kept tile are only tested."""
    fold = np.full(len(data.labels), -1, np.int64)
    fold[data.kept] = group_folds(data.groups[data.kept], k, seed)
    names, first = np.unique(data.groups[data.kept], return_index=True)
    of_group = dict(zip(names.tolist(), fold[data.kept][first].tolist(), strict=True))
    count = int(fold.max()) + 1
    for group in np.unique(data.groups[~data.kept]).tolist():
        of_group.setdefault(group, group % count)
    return np.array([of_group[group] for group in data.groups.tolist()], np.int64)


def _another_region() -> Hint:
    return hints.again(region=["A", "B"]).after(hints.run("build-tasks", region=["A", "B"]))
