"""Image tiles from georeferenced scenes, merged by validity, newest first.

A tile is resampled in two steps: the scene is read averaged down by a whole factor to at most the tile's resolution
(from an overview where it has one, and only the window that the tile needs), then sampled bilinearly at the places of
the tile's pixels. Where all that is read is valid, the values are sampled alone; elsewhere values and validity are
sampled side by side and divided, so that a no-data border neither darkens its neighbours nor leaves a seam.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import GeojepaError
from geojepa_cli.grid import GROUP_ZOOM, TileId, tile_bounds
from geojepa_cli.sources.download import OfflineError
from geojepa_cli.sources.sampling import Doubles, Floats, pixel_places, place, sample
from geojepa_cli.sources.scenes import Scaling, Scene, open_raster, reading, turned, validity
from geojepa_cli.store.image_form import SIZE_PX

_MARGIN_PX = 2  # bilinear needs one; the other is for rounding
_OPEN_FILES = 32  # of each thread
_FAILURES_OF_A_SCENE = 8  # in a row, by which its server let it down; it is not tried again
_SCENES_IN_A_ROW = 8  # that were given up so; then the server is gone, and no other is tried


class OpenScene(Protocol):
    """A scene whose pixels can be read.

    Attributes:
        source: its dataset.
        masked: whether the dataset's mask says where it is valid.
    """

    source: Any
    masked: bool

    def reading(self) -> AbstractContextManager[None]:
        """Turns what goes wrong with the dataset inside into an error of ours."""

    def close(self) -> None:
        """Closes the dataset."""


class LocalScene:
    """A file of this machine, opened."""

    def __init__(self, scene: Scene) -> None:
        """Opens it; DataError where that fails."""
        self._path, self.masked = scene.path, scene.masked
        with self.reading():
            self.source = open_raster(scene.path)

    def reading(self) -> AbstractContextManager[None]:
        return reading(self._path)

    def close(self) -> None:
        self.source.close()


class Picture(NamedTuple):
    """A tile's image of some bands and side.

    Attributes:
        pixels: uint8 [bands, side, side]; 0 where nothing is valid.
        valid: bool [side, side].
        scene: index of the newest scene that shows in it.
    """

    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    scene: int


class Failed(NamedTuple):
    """A tile whose imagery could not be read.

    Attributes:
        error: why.
    """

    error: GeojepaError


class _Part(NamedTuple):
    """What a tile needs of a scene.

    Attributes:
        data: of the scene's own type [bands, rows, columns].
        valid: bool [rows, columns]; None where all is, and the tile lies within it.
        columns, rows: float64 [side, side], where the middles of the tile's pixels lie in it.
        coarser: how many of its pixels one of the tile's is wide, at most 2.
    """

    data: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None
    columns: Doubles
    rows: Doubles
    coarser: float


class Losses:
    """Scenes that their server does not give out, known to all threads, so that nobody waits for them again and again.

    A file that can be reached but not be read fails at once, and so costs its own tiles only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[int] = Counter()  # in a row, of each scene
        self._lost: set[int] = set()
        self._lost_in_a_row = 0

    def check(self, index: int) -> None:
        """OfflineError where a scene is not to be tried."""
        with self._lock:
            if index in self._lost:
                raise OfflineError(f"not tried: {_FAILURES_OF_A_SCENE} reads of this scene before it failed")
            if self._lost_in_a_row >= _SCENES_IN_A_ROW:
                raise OfflineError(f"not tried: {_SCENES_IN_A_ROW} scenes before it could not be had")

    def add(self, index: int) -> None:
        """A read that the server failed."""
        with self._lock:
            self._failures[index] += 1
            if self._failures[index] >= _FAILURES_OF_A_SCENE and index not in self._lost:
                self._lost.add(index)
                self._lost_in_a_row += 1

    def clear(self, index: int) -> None:
        """A read that went well."""
        with self._lock:
            self._failures.pop(index, None)
            self._lost_in_a_row = 0


class Mosaic:
    """Scenes merged by validity, newest first. Files are opened when they are first needed; close it at the end.

    Args:
        scenes: newest first, all with the same number of bands.
        scaling: of those of more than 8 bits.
        open_scene: opens one of them.
        size_px: side of the images.

    Attributes:
        losses: the scenes that are not to be tried; threads share one.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        scaling: Scaling | None = None,
        open_scene: Callable[[Scene], OpenScene] = LocalScene,
        size_px: int = SIZE_PX,
    ) -> None:
        self.scenes, self.scaling, self._open_scene, self._size_px = list(scenes), scaling, open_scene, size_px
        self._bounds = np.array([scene.bounds for scene in scenes], np.float64).reshape(-1, 4)
        self._open: OrderedDict[int, OpenScene] = OrderedDict()
        self.losses = Losses()

    def close(self) -> None:
        """Closes the files."""
        while self._open:
            self._open.popitem()[1].close()

    def picture(self, tile: TileId) -> Picture | None:
        """The image of a tile, None where no scene has a valid pixel in it.

        Raises:
            DataError, OfflineError: a file cannot be read.
        """
        side = self._size_px
        pixels, valid = np.zeros((0, side, side), np.uint8), np.zeros((side, side), bool)
        newest = -1
        for index in self._meeting(tile):
            scene = self.scenes[index]
            found = self._sample(index, scene, tile)
            if found is None:
                continue
            values, there = self._to_bytes(found[0], scene), found[1]
            if newest < 0:  # the only one of most tiles
                pixels = values if there.all() else np.where(there, values, np.uint8(0))
                valid, newest = there, index
            else:
                new = there & ~valid
                np.copyto(pixels, values, where=new)
                valid = valid | new
            if valid.all():
                break
        return Picture(pixels, valid, newest) if newest >= 0 else None

    def _meeting(self, tile: TileId) -> list[int]:
        """The scenes whose boxes share a point with the tile's."""
        west, south, east, north = tile_bounds(*tile)
        box = self._bounds
        meeting = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
        found: list[int] = np.flatnonzero(meeting).tolist()
        return found

    def _opened(self, index: int) -> OpenScene:
        if index not in self._open:
            self._open[index] = self._open_scene(self.scenes[index])
            while len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(index)
        return self._open[index]

    def _forget(self, index: int) -> None:
        """Closes a file that failed: GDAL may hold blocks of it that were never read."""
        opened = self._open.pop(index, None)
        if opened is not None:
            with contextlib.suppress(Exception):
                opened.close()

    def _to_bytes(self, values: Floats, scene: Scene) -> npt.NDArray[np.uint8]:
        if scene.dtype != "uint8" and self.scaling is not None:
            low, high = self.scaling
            values = (values - low) * np.float32(255.0 / (high - low))
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def _sample(self, index: int, scene: Scene, tile: TileId) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
        """Values float32 [bands, side, side] and where they are valid, None where the scene lies elsewhere."""
        self.losses.check(index)
        try:
            opened = self._opened(index)
            with opened.reading():
                part = _read_part(opened.source, scene, opened.masked, tile, self._size_px)
        except GeojepaError as error:
            self._forget(index)
            if isinstance(error, OfflineError):
                self.losses.add(index)
            raise
        self.losses.clear(index)
        if part is None:
            return None
        where = part.columns, part.rows, part.coarser
        if part.valid is None:
            return sample(part.data, *where), np.ones(part.columns.shape, bool)
        weighted = np.zeros((len(part.data) + 1, *part.valid.shape), np.float32)
        np.copyto(weighted[:-1], part.data, where=part.valid, casting="unsafe")
        weighted[-1] = part.valid
        out = sample(weighted, *where)
        weight, (height, width) = out[-1], part.valid.shape
        inside = (part.columns >= 0) & (part.columns <= width) & (part.rows >= 0) & (part.rows <= height)
        valid = inside & (weight >= 0.5)
        values = (out[:-1] / np.where(valid, weight, np.float32(1.0))).astype(np.float32, copy=False)
        return (values, valid) if valid.any() else None


Outcome = Picture | Failed | None


def resample(make: Callable[[], Mosaic], tiles: Sequence[TileId], threads: int = 1) -> Iterator[tuple[TileId, Outcome]]:
    """The images of tiles in their order; None where no scene has a valid pixel, `Failed` where one cannot be read.

    Threads take whole zoom-14 groups, so that tiles that share blocks of a scene are read by one.

    Args:
        make: gives each thread a mosaic of its own; they are closed at the end.
        tiles: those of a group one after the other.
        threads: how many work at once.
    """
    mosaics = [make() for _ in range(threads)]
    for mosaic in mosaics:
        mosaic.losses = mosaics[0].losses
    groups = [list(group) for _, group in itertools.groupby(tiles, _group_of)]
    work = _Work(mosaics)
    waiting: deque[Future[list[tuple[TileId, Outcome]]]] = deque()
    pool = ThreadPoolExecutor(threads, "resample", _adopt, (contextvars.copy_context(),))
    try:
        for group in groups:
            waiting.append(pool.submit(work.do, group))
            if len(waiting) >= 2 * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        work.stop = True
        pool.shutdown(cancel_futures=True)
        for mosaic in mosaics:
            mosaic.close()


def _adopt(context: contextvars.Context) -> None:
    """Gives a new thread the context variables of the one that started it: rasterio keeps the files of its openers in
    them, and a dataset that is opened in one thread and closed in another without them ends the process."""
    for variable, value in context.items():
        variable.set(value)


class _Work:
    """What threads do: one mosaic each, and an end where nobody asks any more."""

    def __init__(self, mosaics: Sequence[Mosaic]) -> None:
        self.stop = False
        self._mosaics: queue.SimpleQueue[Mosaic] = queue.SimpleQueue()
        for mosaic in mosaics:
            self._mosaics.put(mosaic)

    def do(self, tiles: list[TileId]) -> list[tuple[TileId, Outcome]]:
        mosaic = self._mosaics.get()
        try:
            return [(tile, self._one(mosaic, tile)) for tile in tiles]
        finally:
            self._mosaics.put(mosaic)

    def _one(self, mosaic: Mosaic, tile: TileId) -> Outcome:
        if self.stop:
            return Failed(OfflineError("not tried: nobody asks any more"))
        try:
            return mosaic.picture(tile)
        except GeojepaError as error:
            return Failed(error)


def _group_of(tile: TileId) -> tuple[int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.x >> shift, tile.y >> shift


def _read_part(source: Any, scene: Scene, masked: bool, tile: TileId, size_px: int) -> _Part | None:
    """What a tile needs of a scene, None where it lies elsewhere."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    transform = turned(source, tile)
    placing = place(tile, size_px, source.crs, transform)
    if placing is None:
        return None
    (left, top), (right, bottom) = (
        [axis(grid) for grid in (placing.columns, placing.rows)] for axis in (np.min, np.max)
    )
    if right <= 0 or bottom <= 0 or left >= source.width or top >= source.height:
        return None
    factor = _factor(source, placing.finer)
    margin = _MARGIN_PX * factor
    # whole pixels of the overview, so that it is copied and not resampled
    column = int(max(0, np.floor((left - margin) / factor) * factor))
    row = int(max(0, np.floor((top - margin) / factor) * factor))
    width = int(min(source.width, np.ceil((right + margin) / factor) * factor)) - column
    height = int(min(source.height, np.ceil((bottom + margin) / factor) * factor)) - row
    if width <= 0 or height <= 0:
        return None
    window = Window(column, row, width, height)
    shape = (-(-height // factor), -(-width // factor))
    how = {"window": window, "out_shape": shape, "resampling": Resampling.average}
    data = source.read(scene.bands, **{**how, "out_shape": (len(scene.bands), *shape)})
    within = left >= 0 and top >= 0 and right <= source.width and bottom <= source.height
    valid = None
    if masked or data.dtype.kind == "f" or not within:
        found = validity(source, masked, data, **how)
        valid = None if within and found.all() else found
    columns, rows = pixel_places(placing, tile, size_px, source.crs, transform)
    columns, rows = (columns - column) * (shape[1] / width), (rows - row) * (shape[0] / height)
    return _Part(data, valid, columns, rows, placing.finer / factor)


def _factor(source: Any, finer: float) -> int:
    """By what a scene is averaged that is so many times finer than the tile: a multiple of the coarsest overview that
    is still as fine, which then is read as it is, or whole parts of it."""
    overview = max([factor for factor in source.overviews(1) if factor <= finer], default=1)
    return overview * max(1, int(finer / overview))
