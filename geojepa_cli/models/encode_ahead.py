"""Runs a frozen encoder over the data of a region, with several batches at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli.console import Meter

ItemT = TypeVar("ItemT")


def encode_ahead(
    items: Iterable[ItemT],
    encode: Callable[[ItemT], npt.NDArray[np.float32]],
    threads: int,
    name: str,
    meter: Meter | None = None,
) -> Iterator[npt.NDArray[np.float32]]:
    """Yields the vectors of one batch after the other, while threads compute the following batches.

    At most two batches per thread are computed in advance. Each batch is computed by one thread, so the number of
    threads does not change the vectors.

    Args:
        items: descriptions of the batches.
        encode: function that computes the vectors of a batch, one row for each element.
        threads: number of batches to compute at the same time.
        name: prefix of the names of the threads.
        meter: progress display, which counts elements.
    """
    plan = iter(items)
    before, done = torch.get_num_threads(), 0
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, name) as pool:
            ahead: deque[Future[npt.NDArray[np.float32]]] = deque()
            ahead.extend(pool.submit(encode, item) for item in islice(plan, 2 * threads))
            while ahead:
                found = ahead.popleft().result()
                ahead.extend(pool.submit(encode, item) for item in islice(plan, 1))
                yield found
                done += len(found)
                if meter is not None:
                    meter.update(done)
    finally:
        torch.set_num_threads(before)
