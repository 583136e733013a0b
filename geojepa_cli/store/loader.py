"""Batches read ahead in the background, in the sampler's order, page-locked or on a device where asked for.

The gather spends its time in array operations that release Python's lock, so threads are enough: they share the
mapped files and the compiled view, and nothing is pickled between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.sampler import TokenBudgetSampler

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View


@dataclass(frozen=True)
class TileLoader:
    """Reads the batches of a sampler.

    Attributes:
        geometry, images: passed on to `TileStore.read`.
        rank, ranks: which share of every epoch is read here.
        prefetch: batches read ahead; 0 reads each when it is asked for. Neither changes what is read.
        threads: that read.
        pin_memory: batches in page-locked memory, ready for `batch.to(device, non_blocking=True)`.
        device: batches are moved there by the reading thread, or None.
    """

    store: TileStore
    view: View
    sampler: TokenBudgetSampler
    geometry: bool = False
    images: bool = False
    rank: int = 0
    ranks: int = 1
    prefetch: int = 2
    threads: int = 1
    pin_memory: bool = False
    device: torch.device | str | None = None

    def epoch(self, epoch: int, position: int = 0) -> Iterator[TileBatch]:
        """The batches of this rank in an epoch, from the `position`-th on: what a run goes on with after a stop."""
        self.store.compiled(self.view)  # once, before threads ask for it
        plan = self.sampler.batches(epoch, position, self.rank, self.ranks)
        if self.prefetch == 0:
            yield from map(self._read, plan)
            return
        with ThreadPoolExecutor(self.threads, "read-tiles") as pool:
            ahead: deque[Future[TileBatch]] = deque(pool.submit(self._read, t) for t in islice(plan, self.prefetch))
            try:
                while ahead:
                    batch = ahead.popleft().result()
                    ahead.extend(pool.submit(self._read, tiles) for tiles in islice(plan, 1))
                    yield batch
            finally:
                for future in ahead:
                    future.cancel()

    def __len__(self) -> int:
        """Batches of this rank in the first epoch; others may differ by a few, since tiles fall together anew."""
        return self.sampler.n_batches(0, self.ranks)

    def _read(self, tiles: npt.NDArray[np.int64]) -> TileBatch:
        batch = self.store.read(self.view, tiles, self.geometry, self.images)
        if self.pin_memory:
            batch = batch.pin_memory()
        return batch if self.device is None else batch.to(self.device, non_blocking=self.pin_memory)
