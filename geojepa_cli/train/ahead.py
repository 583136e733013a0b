"""Prepares training steps ahead of time.

On a GPU, a thread prepares the next steps on a separate CUDA stream, while the GPU computes the current step. So the
training step itself never waits for a number from the GPU.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch

AHEAD = 2  # steps that the thread prepares ahead of the current one
WAIT_S = 0.2  # the thread looks this often whether training has ended

ItemT = TypeVar("ItemT")


class Ahead(Generic[ItemT]):
    """Iterator over the items of another iterator. On a GPU, a thread computes the items ahead of time.

    Args:
        items: iterator that computes the items.
        device: device of the tensors in the items.
    """

    def __init__(self, items: Iterator[ItemT], device: torch.device) -> None:
        self._items = items
        self._device = device
        self._stop = threading.Event()
        self._queue: queue.Queue[tuple[Any, Any]] = queue.Queue(AHEAD)
        # items in use by the GPU, each with an event after its last use; memory must not be freed before
        self._in_use: deque[tuple[ItemT, torch.cuda.Event]] = deque()
        self._current: ItemT | None = None
        self._thread: threading.Thread | None = None
        if device.type == "cuda":
            self._started = torch.cuda.Event()  # after everything that made the data
            self._started.record(torch.cuda.current_stream(device))
            self._thread = threading.Thread(target=self._work, name="geojepa-ahead", daemon=True)
            self._thread.start()

    def __iter__(self) -> Ahead[ItemT]:
        return self

    def __next__(self) -> ItemT:
        if self._thread is None:
            return next(self._items)
        self._release()
        item, ready = self._queue.get()
        if isinstance(ready, BaseException):
            raise ready
        torch.cuda.current_stream(self._device).wait_event(ready)
        self._current = item
        return item

    def close(self) -> None:
        """Stops the thread that computes items."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _release(self) -> None:
        if self._current is not None:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
            self._in_use.append((self._current, event))
            self._current = None
        while len(self._in_use) > AHEAD:
            _, event = self._in_use[0]
            event.synchronize()  # of a step that ended long ago, so this does not wait
            self._in_use.popleft()

    def _work(self) -> None:
        try:
            stream = torch.cuda.Stream(self._device)
            stream.wait_event(self._started)
            with torch.cuda.device(self._device), torch.cuda.stream(stream):
                for item in self._items:
                    event = torch.cuda.Event()
                    event.record()
                    if not self._put((item, event)):
                        return
        except BaseException as error:
            self._put((None, error))

    def _put(self, pair: tuple[Any, Any]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(pair, timeout=WAIT_S)
                return True
            except queue.Full:
                continue
        return False
