"""Cross-validation folds that keep groups together: all tiles inside one zoom-14 tile are in the same fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def group_folds(groups: NDArray[np.generic], k: int, seed: int = 0) -> NDArray[np.int64]:
    """Assigns rows (one per tile) to cross-validation folds. All rows of a group are in the same fold.

    Folds have similar sizes: groups are assigned one by one, largest first, to the fold with the fewest rows. Groups of
    equal size are in random order. If there are fewer than `k` groups, each group is one fold.

    Args:
        groups: group of each row, [n].
        k: number of folds.
        seed: random seed of the order of groups.

    Returns:
        Fold number of each row, from 0. int64 [n]

    Raises:
        ValueError: there are fewer than two groups, or `k` is less than two.
    """
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    k = min(k, len(names))
    if k < 2:
        raise ValueError(f"expected at least two groups and two folds, got {len(names)} groups, k = {k}")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    return fill_folds(order, counts, k)[inverse]


def fill_folds(order: NDArray[np.int64], counts: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Assigns groups one by one to the fold with the fewest rows. Returns the fold of each group. int64 [groups]

    Args:
        order: indexes of the groups, in the order in which they are assigned.
        counts: number of rows of each group.
        k: number of folds.
    """
    fold_of_group = np.empty(len(counts), np.int64)
    rows = np.zeros(k, np.int64)
    for group in order:
        fold = int(np.argmin(rows))
        fold_of_group[group] = fold
        rows[fold] += counts[group]
    return fold_of_group
