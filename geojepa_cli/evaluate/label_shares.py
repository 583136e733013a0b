"""Learning curves: draws a random part of the labels for training. Zoom-14 tiles (groups) are drawn as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geojepa_cli.evaluate.folds import Fold, ProbeData, Rows


@dataclass(frozen=True)
class LabelCount:
    """Number of labels that heads were fitted to, as a mean over folds and seeds.

    Attributes:
        share: share of the labels that was asked for.
        tiles: number of training and validation tiles.
        groups: number of zoom-14 tiles (groups) that contain these tiles.
    """

    share: float
    tiles: float
    groups: float


def with_share(fold: Fold, data: ProbeData, share: float, seed: int) -> Fold:
    """Returns a fold with a share of its training tiles and the same share of its validation tiles.

    All test tiles are kept. Whole groups (zoom-14 tiles) are drawn in random order, at least one, until they have the
    wanted share of the tiles. With the same seed, a larger share contains all groups of a smaller share.

    Args:
        fold: fold with all tiles.
        data: tiles of the task.
        share: share of the tiles, above 0, at most 1.
        seed: seed of the order of groups.
    """
    if share >= 1.0:
        return fold
    drawn = [_draw(rows, data, share, [seed, fold.number, part]) for part, rows in enumerate((fold.train, fold.val))]
    return replace(fold, train=drawn[0], val=drawn[1])


def count_labels(folds: list[Fold], data: ProbeData, share: float) -> LabelCount:
    """Returns the number of tiles and groups that heads are fitted to, as a mean over folds."""
    rows = [np.concatenate([fold.train, fold.val]) for fold in folds]
    groups = [len(np.unique(data.groups[one])) for one in rows]
    return LabelCount(share, float(np.mean([len(one) for one in rows])), float(np.mean(groups)))


def _draw(rows: Rows, data: ProbeData, share: float, seed: list[int]) -> Rows:
    names, inverse, counts = np.unique(data.groups[rows], return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    reached = np.cumsum(counts[order]) >= share * len(rows)
    drawn = order[: int(reached.argmax()) + 1] if len(names) else order
    return rows[np.isin(inverse, drawn)]
