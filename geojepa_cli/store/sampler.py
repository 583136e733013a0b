"""Batches with a token budget: every tile once per epoch, in a seeded order that can be resumed in the middle.

The plan of an epoch depends only on (seed, epoch): all ranks and workers compute the same plan and take every n-th
batch of it. Tiles are shuffled, sorted by length within blocks, cut into batches, and the batches are shuffled. So the
tiles of a batch have similar lengths (little padding where attention pads), and an epoch is not sorted by length.
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
        budget: largest number of tokens of a batch; a tile with more is a batch of one tile.
        seed: decides the order, together with the epoch's number.
        shuffle: False keeps the given order in every epoch.
        block: number of tiles that are sorted by length together; 1 for no sorting.
        tile_cost: additional tokens of every tile, such as registers or image patches.
        max_tiles: largest number of tiles of a batch, or None.
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
        """Returns all batches of an epoch as tile rows; their number is a multiple of `ranks`.

        The batches with the most tiles are halved until it is, so all ranks take the same number of steps and every
        tile occurs once. If there are too few tiles, some batches are empty. Rows of a batch are ascending: tiles of a
        region are consecutive, and files are read forwards.
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
        """Yields the batches of one worker of one rank, in order.

        Args:
            epoch: number of the epoch.
            position: number of batches that this rank has done; the rest of the epoch is the same as without a stop.
                Workers take turns at the remaining batches, so their number may change on resuming.
            rank, ranks: this process and the number of processes.
            worker, workers: this worker of the process and the number of workers.
        """
        mine = self.plan(epoch, ranks)[rank::ranks]
        yield from mine[position + worker :: workers]

    def n_batches(self, epoch: int, ranks: int = 1) -> int:
        """Returns the number of batches of each rank in an epoch."""
        return len(self.plan(epoch, ranks)) // ranks


def _cut(cost: Rows, budget: int, max_tiles: int | None) -> list[tuple[int, int]]:
    """Returns consecutive runs of tiles, each within the budget or of one tile."""
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
