"""Prefetches batches in background threads, in the sampler's order.

Reading a batch consists of array operations that release Python's global interpreter lock, so threads are enough. They
share the memory-mapped files and the compiled view, and no data is copied between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli.config.modality import TAGS_ONLY, Needs
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@dataclass(frozen=True)
class TileLoader:
    """Reads the batches of a sampler.

    Attributes:
        store: dataset to read from.
        view: tiles, tags and pieces that the batches contain.
        sampler: order of the tiles, and their division into batches.
        needs: modalities of the batches, see `TileStore.read`.
        rank, ranks: this process reads every `ranks`-th batch of an epoch, starting with batch `rank`.
        prefetch: number of batches to read ahead; 0 reads each batch on demand. Does not change the batches.
        threads: number of reading threads.
        pin_memory: copy batches to page-locked memory, for `batch.to(device, non_blocking=True)`.
        device: device to which the reading thread moves batches; None leaves them on the CPU.
    """

    store: TileStore
    view: View
    sampler: TokenBudgetSampler
    needs: Needs = TAGS_ONLY
    rank: int = 0
    ranks: int = 1
    prefetch: int = 2
    threads: int = 1
    pin_memory: bool = False
    device: torch.device | str | None = None

    def epoch(self, epoch: int, position: int = 0) -> Iterator[TileBatch]:
        """Yields the batches of this rank in an epoch, without the first `position` batches (to resume a run)."""
        self.store.compiled(self.view)  # compiled here, so that the threads do not each do it
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
        """Number of batches of this rank in the first epoch. Other epochs may have a few more or fewer."""
        return self.sampler.n_batches(0, self.ranks)

    def _read(self, tiles: npt.NDArray[np.int64]) -> TileBatch:
        batch = self.store.read(self.view, tiles, self.needs)
        if self.pin_memory:
            batch = batch.pin_memory()
        return batch if self.device is None else batch.to(self.device, non_blocking=self.pin_memory)
