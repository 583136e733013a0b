"""Resamples scenes (georeferenced images) to the images of many tiles, on several threads."""

from __future__ import annotations

import contextvars
import itertools
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError
from geojepa_cli.grid import GROUP_ZOOM, TileId
from geojepa_cli.sources.http import OfflineError
from geojepa_cli.sources.mosaic import Mosaic, Picture


class Failed(NamedTuple):
    """Result for a tile whose imagery cannot be read. Holds the error."""

    error: GeojepaError


Outcome = Picture | Failed | None


def resample(make: Callable[[], Mosaic], tiles: Sequence[TileId], threads: int = 1) -> Iterator[tuple[TileId, Outcome]]:
    """Yields each tile and its image, in the order of `tiles`.

    The image is None if no scene has data inside the tile, and `Failed` if a scene cannot be read. All tiles inside the
    same zoom-14 tile (a group) are resampled on the same thread, because they need the same blocks of the scenes.

    Args:
        make: function that returns a new `Mosaic`, which makes tile images from scenes. Each thread uses one.
        tiles: tiles to resample. The tiles of a group must be consecutive.
        threads: number of threads.
    """
    mosaics = [make() for _ in range(threads)]
    for mosaic in mosaics:
        mosaic.unreachable = mosaics[0].unreachable
    groups = [list(group) for _, group in itertools.groupby(tiles, _group_of)]
    work = _Work(mosaics)
    waiting: deque[Future[list[tuple[TileId, Outcome]]]] = deque()
    pool = ThreadPoolExecutor(threads, "resample", _set_context, (contextvars.copy_context(),))
    try:
        for group in groups:
            waiting.append(pool.submit(work.run, group))
            if len(waiting) >= 2 * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        work.stopped = True
        pool.shutdown(cancel_futures=True)
        for mosaic in mosaics:
            mosaic.close()


def _set_context(context: contextvars.Context) -> None:
    """Copies the context variables of the main thread to a new thread.

    rasterio uses context variables to store the Python objects through which GDAL reads files. Without the copy, the
    process crashes if one thread opens a dataset and another closes it.
    """
    for variable, value in context.items():
        variable.set(value)


class _Work:
    """Resamples groups of tiles. A group consists of all tiles inside one zoom-14 tile.

    For each group, a thread takes a `Mosaic` (reader of scenes) from a shared pool, and returns it afterwards.

    Attributes:
        stopped: True when the caller no longer reads the results. The remaining tiles are then skipped.
    """

    def __init__(self, mosaics: Sequence[Mosaic]) -> None:
        self.stopped = False
        self._mosaics: queue.SimpleQueue[Mosaic] = queue.SimpleQueue()
        for mosaic in mosaics:
            self._mosaics.put(mosaic)

    def run(self, tiles: list[TileId]) -> list[tuple[TileId, Outcome]]:
        mosaic = self._mosaics.get()
        try:
            return [(tile, self._picture(mosaic, tile)) for tile in tiles]
        finally:
            self._mosaics.put(mosaic)

    def _picture(self, mosaic: Mosaic, tile: TileId) -> Outcome:
        if self.stopped:
            return Failed(OfflineError("imagery of this tile not read, because the run has stopped", hints.again()))
        try:
            return mosaic.picture(tile)
        except GeojepaError as error:
            return Failed(error)


def _group_of(tile: TileId) -> tuple[int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.x >> shift, tile.y >> shift
