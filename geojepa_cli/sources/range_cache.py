"""Cache for byte ranges of remote files, with a maximum size."""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict

MAX_BYTES = 1 << 26


class RangeCache:
    """Cache for byte ranges of remote files. Threads may share one cache.

    If the cache is full, the least recently used ranges are removed first.

    Args:
        max_bytes: maximum number of bytes to keep, for all files together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._files: dict[str, _Ranges] = {}
        self._recent: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._bytes = 0

    def find(self, href: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """Returns the cached ranges that overlap [start, end), as (first byte, data), sorted by first byte."""
        with self._lock:
            found = self._files.setdefault(href, _Ranges()).find(start, end)
            for first, _ in found:
                self._recent.move_to_end((href, first))
        return found

    def add(self, href: str, start: int, data: bytes) -> None:
        """Adds a range. Removes the least recently used ranges if the cache exceeds its maximum size."""
        with self._lock:
            if data and self._files.setdefault(href, _Ranges()).add(start, data):
                self._recent[href, start] = len(data)
                self._bytes += len(data)
            while self._bytes > self._max_bytes and len(self._recent) > 1:
                (other, first), size = self._recent.popitem(last=False)
                self._files[other].remove(first)
                self._bytes -= size


class _Ranges:
    """Cached ranges of one file, sorted by first byte."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._data: dict[int, bytes] = {}

    def find(self, start: int, end: int) -> list[tuple[int, bytes]]:
        first = max(0, bisect.bisect_right(self._starts, start) - 1)
        found = []
        for begin in self._starts[first:]:
            if begin >= end:
                break
            if begin + len(self._data[begin]) > start:
                found.append((begin, self._data[begin]))
        return found

    def add(self, start: int, data: bytes) -> bool:
        """Adds a range. Returns False if a range with the same first byte is already cached."""
        if start in self._data:
            return False
        bisect.insort(self._starts, start)
        self._data[start] = data
        return True

    def remove(self, start: int) -> None:
        self._starts.remove(start)
        del self._data[start]
