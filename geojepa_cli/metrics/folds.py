"""Folds over groups: all rows of a group (a zoom-14 block) are in the same fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def group_folds(groups: NDArray[np.generic], k: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns the fold of every row, int64 [n] in 0..k-1.

    Groups are shuffled and then assigned, largest first, to the fold with the fewest rows, so that folds have similar
    sizes. If there are fewer groups than `k`, the number of folds is the number of groups.

    Args:
        groups: group of every row, [n].
        k: number of folds.
        seed: seed of the shuffling.

    Raises:
        ValueError: there are fewer than two groups or folds.
    """
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    k = min(k, len(names))
    if k < 2:
        raise ValueError(f"expected at least two groups and two folds, got {len(names)} groups, k = {k}")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    fold_of_group = np.empty(len(names), np.int64)
    rows = np.zeros(k, np.int64)
    for group in order:
        fold = int(np.argmin(rows))
        fold_of_group[group] = fold
        rows[fold] += counts[group]
    return fold_of_group[inverse]
