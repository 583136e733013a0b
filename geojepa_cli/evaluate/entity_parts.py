"""Training, validation and test parts of the examples of an entity probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.limits import FOLDS, MIN_GROUPS
from geojepa_cli.console import counted
from geojepa_cli.errors import DataError

Rows = NDArray[np.int64]

# ways of testing
BETWEEN_REGIONS, LEFT_OUT_REGIONS, CROSS_VALIDATION = "test regions", "left-out regions", "cross-validation"


@dataclass(frozen=True)
class Part:
    """Indexes of the examples of one fold, int64: to train on, to choose the penalty on, and to test."""

    train: Rows
    val: Rows
    test: Rows


def make_parts(
    groups: Rows, test_region: NDArray[np.bool_] | None, seed: int, regions: Rows | None = None
) -> list[Part]:
    """Assigns examples to training, validation and test.

    Args:
        groups: group (zoom-14 tile) of each example, int64 [n].
        test_region: True for examples of test regions, bool [n]: they are tested, and a fifth of the other groups is
            used for validation. None: cross-validation; each fold is tested once.
        seed: seed of the assignment of groups.
        regions: region of each example, int64 [n]. Folds are then made of whole regions: each region is one fold, or
            several regions are if there are many. A fifth of the other groups is used for validation. None: folds are
            made of groups, and the next fold is used for validation. Ignored if `test_region` is given.

    Raises:
        DataError: there are too few groups to train on, no example in the test regions, or all examples are in one
            region.
    """
    if test_region is not None:
        if not test_region.any():
            raise DataError("the test regions have no entity to test")
        return [_trained_elsewhere(groups, test_region, seed)]
    if regions is not None:
        if len(np.unique(regions)) < 2:
            raise DataError("all entities to probe are in one region: expected entities in at least 2 regions")
        fold = _draw_folds(regions, seed)
        return [_trained_elsewhere(groups, fold == number, seed) for number in range(int(fold.max()) + 1)]
    _check_groups(groups)
    fold = _draw_folds(groups, seed)
    count = int(fold.max()) + 1
    return [
        Part(
            np.flatnonzero((fold != number) & (fold != (number + 1) % count)),
            np.flatnonzero(fold == (number + 1) % count),
            np.flatnonzero(fold == number),
        )
        for number in range(count)
    ]


def frequent_classes(labels: Rows, classes: int, parts: Sequence[Part], minimum: int) -> list[int]:
    """Returns the classes with at least `minimum` examples in every training part. Test examples do not count."""
    counts = [np.bincount(labels[np.concatenate([part.train, part.val])], minlength=classes) for part in parts]
    return np.flatnonzero(np.min(counts, axis=0) >= minimum).tolist()


def _trained_elsewhere(groups: Rows, tested: NDArray[np.bool_], seed: int) -> Part:
    """Returns a part that trains on the examples that are not tested. Groups on the border of two regions are left out
    of training if they are tested.
    """
    rest = np.flatnonzero(~tested & ~np.isin(groups, groups[tested]))
    _check_groups(groups[rest])
    fold = _draw_folds(groups[rest], seed)
    return Part(rest[fold > 0], rest[fold == 0], np.flatnonzero(tested))


def _draw_folds(groups: Rows, seed: int) -> Rows:
    """Assigns rows to at most `FOLDS` folds of similar sizes, so that all rows of a group are in one fold, int64 [n].

    As `metrics.folds.group_folds`, which assigns large groups first, but with random changes of the sizes. Otherwise,
    groups of different sizes would be in the same folds with every seed.
    """
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(-counts * np.random.default_rng(seed).uniform(0.5, 1.0, len(names)), kind="stable")
    fold_of_group = np.empty(len(names), np.int64)
    rows = np.zeros(min(FOLDS, len(names)), np.int64)
    for group in order:
        fold_of_group[group] = fold = int(np.argmin(rows))
        rows[fold] += counts[group]
    return fold_of_group[inverse]


def _check_groups(groups: Rows) -> None:
    found = len(np.unique(groups))
    if found < MIN_GROUPS:
        few = counted(found, "zoom-14 group")
        raise DataError(f"too few entities to train on: they are in {few}, expected at least {MIN_GROUPS}")
