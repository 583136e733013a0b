"""`TileLoader`: reads batches ahead in background threads, in a given order.

Reading a batch consists of array operations that release Python's global interpreter lock, so threads are as fast as
processes. All threads share the memory-mapped files, and no data is copied between processes.
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
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@dataclass(frozen=True)
class TileLoader:
    """Reads batches of tiles of a dataset.

    Attributes:
        store: dataset to read from.
        view: selection of the tiles, tags and entities that batches contain.
        needs: modalities to read. Tags and bounding rectangles are always read.
        prefetch: number of batches to read ahead; 0 to read each batch when it is needed. Does not change the batches.
        threads: number of threads that read batches.
        pin_memory: True to copy batches to page-locked memory, for `batch.to(device, non_blocking=True)`.
        device: device to which a reading thread moves each batch; None to keep batches on the CPU.
    """

    store: TileStore
    view: View
    needs: Needs = TAGS_ONLY
    prefetch: int = 2
    threads: int = 1
    pin_memory: bool = False
    device: torch.device | str | None = None

    def read(self, plan: Iterator[npt.NDArray[np.int64]]) -> Iterator[TileBatch]:
        """Reads and yields batches. Each element of `plan` is an array with the row numbers of the tiles of a batch."""
        self.store.compiled(self.view)  # compiled here, so that the threads do not each do it
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

    def _read(self, tiles: npt.NDArray[np.int64]) -> TileBatch:
        batch = self.store.read(self.view, tiles, self.needs)
        if self.pin_memory:
            batch = batch.pin_memory()
        return batch if self.device is None else batch.to(self.device, non_blocking=self.pin_memory)
