"""Image tiles from georeferenced scenes, merged by validity, newest first.

A tile is resampled in two steps: the scene is read averaged down by a whole factor to at most the tile's resolution
(from an overview where it has one, and only the window that the tile needs), then sampled bilinearly at the places
that GDAL's warper computes without approximation. Values and validity are warped side by side and divided, so that a
no-data border neither darkens its neighbours nor leaves a seam.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import GeojepaError
from geojepa_cli.grid import GROUP_ZOOM, SEMI_MAJOR_AXIS_M, TileId, tile_bounds
from geojepa_cli.sources.download import OfflineError
from geojepa_cli.sources.scenes import Scaling, Scene, open_raster, reading, validity
from geojepa_cli.store.images import SIZE_PX

MERCATOR = "EPSG:3857"
_MARGIN_PX = 2  # bilinear needs one; the other is for rounding
_OPEN_FILES = 32  # of each thread
_FAILURES_IN_A_ROW = 16  # after so many tiles that a server failed, the others are not tried

Floats = npt.NDArray[np.float32]


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
    """A tile's image.

    Attributes:
        pixels: uint8 [3, 224, 224]; 0 where nothing is valid.
        valid: bool [224, 224].
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


class Mosaic:
    """Scenes merged by validity, newest first. Files are opened when they are first needed; close it at the end."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        scaling: Scaling | None = None,
        open_scene: Callable[[Scene], OpenScene] = LocalScene,
    ) -> None:
        self.scenes, self.scaling, self._open_scene = list(scenes), scaling, open_scene
        self._bounds = np.array([scene.bounds for scene in scenes], np.float64).reshape(-1, 4)
        self._open: OrderedDict[int, OpenScene] = OrderedDict()

    def close(self) -> None:
        """Closes the files."""
        while self._open:
            self._open.popitem()[1].close()

    def picture(self, tile: TileId) -> Picture | None:
        """The image of a tile, None where no scene has a valid pixel in it.

        Raises:
            DataError, OfflineError: a file cannot be read.
        """
        pixels = np.zeros((3, SIZE_PX, SIZE_PX), np.uint8)
        valid = np.zeros((SIZE_PX, SIZE_PX), bool)
        newest = -1
        for index in self._meeting(tile):
            found = self._warp(index, self.scenes[index], tile)
            if found is None:
                continue
            values, there = found
            new = there & ~valid
            if new.any():
                pixels[:, new] = self._to_bytes(values, self.scenes[index])[:, new]
                valid |= new
                newest = index if newest < 0 else newest
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
            values = (values - low) * (255.0 / (high - low))
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def _warp(self, index: int, scene: Scene, tile: TileId) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
        """Values float32 [3, 224, 224] and where they are valid, None where the scene lies elsewhere."""
        from rasterio.enums import Resampling
        from rasterio.warp import reproject

        opened = self._opened(index)
        try:
            with opened.reading():
                part = _read_part(opened.source, scene, opened.masked, tile)
        except GeojepaError:
            self._forget(index)
            raise
        if part is None:
            return None
        weighted, transform, scale = part
        out = np.zeros((4, SIZE_PX, SIZE_PX), np.float32)
        reproject(
            weighted,
            out,
            src_transform=transform,
            src_crs=opened.source.crs,
            dst_transform=tile_transform(tile),
            dst_crs=MERCATOR,
            resampling=Resampling.bilinear,
            tolerance=0.0,
            XSCALE=scale,  # GDAL's own guess is from boxes, which widens the kernel for a scene that lies askew
            YSCALE=scale,
        )
        weight = out[3]
        valid = weight >= 0.5
        values = (out[:3] / np.where(valid, weight, np.float32(1.0))).astype(np.float32)
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
        work.stop = "stopped"
        pool.shutdown(cancel_futures=True)
        for mosaic in mosaics:
            mosaic.close()


def _adopt(context: contextvars.Context) -> None:
    """Gives a new thread the context variables of the one that started it: rasterio keeps the files of its openers in
    them, and a dataset that is opened in one thread and closed in another without them ends the process."""
    for variable, value in context.items():
        variable.set(value)


class _Work:
    """What threads do: one mosaic each, and an end where a server is gone."""

    def __init__(self, mosaics: Sequence[Mosaic]) -> None:
        self.stop = ""
        self._mosaics: queue.SimpleQueue[Mosaic] = queue.SimpleQueue()
        for mosaic in mosaics:
            self._mosaics.put(mosaic)
        self._failures_in_a_row = 0
        self._lock = threading.Lock()

    def do(self, tiles: list[TileId]) -> list[tuple[TileId, Outcome]]:
        mosaic = self._mosaics.get()
        try:
            return [(tile, self._one(mosaic, tile)) for tile in tiles]
        finally:
            self._mosaics.put(mosaic)

    def _one(self, mosaic: Mosaic, tile: TileId) -> Outcome:
        if self.stop:
            return Failed(OfflineError(f"not tried: {self.stop}"))
        try:
            outcome: Outcome = mosaic.picture(tile)
        except GeojepaError as error:
            outcome = Failed(error)
        with self._lock:
            self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failed) else 0
            if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
                self.stop = f"{_FAILURES_IN_A_ROW} tiles before it failed"
        return outcome


def _group_of(tile: TileId) -> tuple[int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.x >> shift, tile.y >> shift


def tile_transform(tile: TileId) -> Any:
    """The affine transform from pixels of a tile's image to metres of Web Mercator."""
    from rasterio.transform import from_origin

    half = np.pi * SEMI_MAJOR_AXIS_M
    side = 2.0 * half / 2**tile.z
    return from_origin(tile.x * side - half, half - tile.y * side, side / SIZE_PX, side / SIZE_PX)


def _read_part(source: Any, scene: Scene, masked: bool, tile: TileId) -> tuple[Floats, Any, float] | None:
    """What a tile needs of a scene: float32 [4, rows, columns] (valid values, 0 elsewhere; validity), its transform,
    and how many pixels of the tile one of it is wide, at most 1."""
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.windows import Window

    box = _pixel_box(source, tile)
    if box is None:
        return None
    left, top, right, bottom, finer = box
    factor = max(1, int(finer))
    margin = _MARGIN_PX * factor
    column = int(max(0, np.floor((left - margin) / factor) * factor))
    row = int(max(0, np.floor((top - margin) / factor) * factor))
    width = int(min(source.width, np.ceil(right + margin))) - column
    height = int(min(source.height, np.ceil(bottom + margin))) - row
    if width <= 0 or height <= 0:
        return None
    window = Window(column, row, width, height)
    shape = (-(-height // factor), -(-width // factor))
    how = {"window": window, "out_shape": shape, "resampling": Resampling.average}
    data = source.read(scene.bands, **{**how, "out_shape": (3, *shape)}).astype(np.float32)
    valid = validity(source, masked, data, **how)
    weighted = np.zeros((4, *shape), np.float32)
    weighted[:3, valid] = data[:, valid]
    weighted[3] = valid
    scale = Affine.scale(width / shape[1], height / shape[0])
    return weighted, source.transform * Affine.translation(column, row) * scale, min(1.0, factor / finer)


def _pixel_box(source: Any, tile: TileId) -> tuple[float, float, float, float, float] | None:
    """Left, top, right and bottom of a tile in the scene's pixels, and how many times finer these are than the tile's;
    None where it has no place there."""
    from rasterio.warp import transform

    steps = np.linspace(0.0, SIZE_PX, 9)
    columns, rows = (axis.ravel() for axis in np.meshgrid(steps, steps))
    xs, ys = tile_transform(tile) * (columns, rows)
    xs, ys = (np.asarray(axis) for axis in transform(MERCATOR, source.crs, xs, ys))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        return None
    columns, rows = ~source.transform * (xs, ys)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    outside = right <= 0 or bottom <= 0 or left >= source.width or top >= source.height
    if outside:
        return None
    across, down = (
        np.stack([np.diff(grid.reshape(9, 9), axis=axis).mean() for grid in (columns, rows)]) for axis in (1, 0)
    )
    area = abs(across[0] * down[1] - across[1] * down[0])
    return left, top, right, bottom, float(np.sqrt(area) / (SIZE_PX / 8))
