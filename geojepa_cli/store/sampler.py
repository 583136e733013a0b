"""Batches with a token budget: every tile once an epoch, in a seeded order that can be taken up in the middle.

The plan of an epoch is a function of (seed, epoch) alone: all ranks and workers compute the same plan and take every
n-th batch of it. Tiles are shuffled, sorted by length within blocks, cut into batches, and the batches are shuffled:
tiles of a batch are of like length (little padding where attention pads) without the epoch running from short to long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenBudgetSampler:
    """Cuts tiles into batches of at most `budget` tokens.

    Attributes:
        tiles: tile rows to read, int64 [n].
        lengths: tokens of each of them, int64 [n].
        budget: most tokens of a batch; a tile with more goes alone.
        seed: with the epoch's number decides the order.
        shuffle: without it tiles come in the order given, in every epoch.
        block: tiles that are sorted by length together; 1 for no sorting.
        tile_cost: tokens that every tile costs on top, such as registers or image patches.
        max_tiles: most tiles of a batch, or None.
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

    def plan(self, epoch: int, ranks: int = 1) -> list[Rows]:
        """All batches of an epoch as tile rows; their number is a multiple of `ranks`.

        To that end the batches with the most tiles are halved, so that all ranks take equally many steps and yet
        every tile comes once. Where the tiles do not suffice for that, batches without a tile remain.
        Rows of a batch are ascending: tiles of a region stand together, and files are read forwards.
        """
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        order = rng.permutation(len(self.tiles)) if self.shuffle else np.arange(len(self.tiles))
        cost = self.lengths[order] + self.tile_cost
        if self.shuffle and self.block > 1:
            by_length = np.lexsort((cost, np.arange(len(order)) // self.block))
            order, cost = order[by_length], cost[by_length]
        batches = [self.tiles[order[a:b]] for a, b in _cut(cost, self.budget, self.max_tiles)]
        batches = _even(batches, ranks)
        if not self.shuffle:
            return batches
        return [np.sort(batches[i]) for i in rng.permutation(len(batches))]

    def batches(
        self, epoch: int, position: int = 0, rank: int = 0, ranks: int = 1, worker: int = 0, workers: int = 1
    ) -> Iterator[Rows]:
        """The batches of one worker of one rank, in order.

        Args:
            position: batches of this rank that are done already; the sequence goes on as if it had never stopped.
                Workers share a rank's remaining batches in turn, so their number may change on resuming.
        """
        mine = self.plan(epoch, ranks)[rank::ranks]
        yield from mine[position + worker :: workers]

    def n_batches(self, epoch: int, ranks: int = 1) -> int:
        """Batches of each rank in an epoch."""
        return len(self.plan(epoch, ranks)) // ranks


def _cut(cost: Rows, budget: int, max_tiles: int | None) -> list[tuple[int, int]]:
    """Consecutive runs of tiles, each within the budget or of one tile."""
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


def _even(batches: list[Rows], ranks: int) -> list[Rows]:
    """Halves the batches with the most tiles until their number is a multiple of `ranks`."""
    batches = list(batches)
    while len(batches) % ranks:
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        batch = batches[largest]
        half = (len(batch) + 1) // 2
        batches[largest : largest + 1] = [batch[:half], batch[half:]]
    return batches
