"""Divides tiles into batches with a maximum number of tokens. An epoch contains every tile once.

The batches of an epoch depend only on the seed and the epoch, so an epoch can be resumed at any batch. All processes of
a training run compute the same list of batches, and `train/steps.py` divides it among them.

First, the tiles are shuffled. Then, tiles are sorted by number of tokens within blocks of a few thousand tiles, and cut
into batches. Finally, the batches are shuffled. So the tiles of a batch have similar numbers of tokens (attention needs
little padding), but the order of the batches is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenBudgetSampler:
    """Divides tiles into batches of at most `budget` tokens.

    Attributes:
        tiles: row numbers of the tiles in the dataset's table of tiles, int64 [n].
        lengths: number of tokens of each tile, int64 [n].
        budget: maximum number of tokens in a batch. A tile with more tokens becomes a batch of one tile.
        seed: random seed. The order of tiles and batches depends on the seed and the epoch.
        shuffle: True to shuffle tiles and batches in every epoch; False to keep the order of `tiles`.
        block: after shuffling, tiles are sorted by number of tokens within blocks of this many tiles; 1 to skip
            sorting.
        tile_cost: number of tokens to add for every tile, for example for registers or image patches.
        max_tiles: maximum number of tiles in a batch; None for no maximum.
    """

    tiles: Rows
    lengths: Rows
    budget: int
    seed: int = 0
    shuffle: bool = True
    block: int = 2048
    tile_cost: int = 0
    max_tiles: int | None = None

    def __post_init__(self) -> None:
        if len(self.tiles) != len(self.lengths):
            raise ValueError(f"{len(self.tiles)} tiles, {len(self.lengths)} lengths")
        if self.budget < 1 or self.block < 1:
            raise ValueError(f"budget {self.budget} and block {self.block} must be positive")

    def plan(self, epoch: int) -> list[Rows]:
        """Returns all batches of an epoch. Each batch is an array of row numbers of tiles in the dataset.

        With `shuffle`, the row numbers in a batch are in ascending order, so that the tiles of a region are
        consecutive, and files are read from start to end.
        """
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        order = rng.permutation(len(self.tiles)) if self.shuffle else np.arange(len(self.tiles))
        cost = self.lengths[order] + self.tile_cost
        if self.shuffle and self.block > 1:
            by_length = np.lexsort((cost, np.arange(len(order)) // self.block))
            order, cost = order[by_length], cost[by_length]
        batches = [self.tiles[order[a:b]] for a, b in _cut(cost, self.budget, self.max_tiles)]
        if not self.shuffle:
            return batches
        return [np.sort(batches[i]) for i in rng.permutation(len(batches))]

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""
        return len(self.plan(epoch))


def _cut(cost: Rows, budget: int, max_tiles: int | None) -> list[tuple[int, int]]:
    """Cuts a sequence of tiles into batches of at most `budget` tokens and `max_tiles` tiles.

    A tile with more than `budget` tokens becomes a batch of one tile.

    Args:
        cost: number of tokens of each tile, plus `TokenBudgetSampler.tile_cost`.
        budget: maximum number of tokens in a batch.
        max_tiles: maximum number of tiles in a batch; None for no maximum.

    Returns:
        Start and end (excluded) of each batch, as indices into the sequence.
    """
    total = np.concatenate([[0], np.cumsum(cost)])
    cuts = []
    first = 0
    while first < len(cost):
        last = int(np.searchsorted(total, total[first] + budget, side="right")) - 1
        if max_tiles is not None:
            last = min(last, first + max_tiles)
        last = max(last, first + 1)
        cuts.append((first, last))
        first = last
    return cuts
