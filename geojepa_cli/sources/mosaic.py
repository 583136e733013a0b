"""Makes the images of tiles from scenes (georeferenced images). Where scenes overlap, the newest one is used."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import GeojepaError
from geojepa_cli.grid import TileId, tile_bounds
from geojepa_cli.sources.http import OfflineError
from geojepa_cli.sources.sampling import Floats
from geojepa_cli.sources.scaling import Scaling
from geojepa_cli.sources.scene_bands import MaskRule
from geojepa_cli.sources.scene_window import Mask, read_part, sample_part
from geojepa_cli.sources.scenes import Scene, open_raster, raster_errors
from geojepa_cli.sources.unreachable import UnreachableScenes
from geojepa_cli.store.image_form import SIZE_PX

_MAX_OPEN = 32  # maximum number of open files per thread


class OpenScene(Protocol):
    """A scene (georeferenced image) that is opened for reading.

    Attributes:
        source: rasterio dataset of the scene.
        mask: rule that decides which pixels are valid. A valid pixel contains data.
    """

    source: Any
    mask: MaskRule

    def reading(self) -> AbstractContextManager[None]:
        """Returns a context manager that converts errors of rasterio and GDAL to errors of this package."""

    def close(self) -> None:
        """Closes the rasterio dataset of the scene."""


class LocalScene:
    """A scene (georeferenced image) in a local file, opened for reading."""

    def __init__(self, scene: Scene) -> None:
        self._path, self.mask = scene.path, scene.mask
        with self.reading():
            self.source = open_raster(scene.path)

    def reading(self) -> AbstractContextManager[None]:
        return raster_errors(self._path)

    def close(self) -> None:
        self.source.close()


class Picture(NamedTuple):
    """The image of a tile.

    Attributes:
        pixels: uint8 [bands, side, side]. Pixels for which no scene has data are 0.
        valid: bool [side, side], True for pixels for which a scene has data.
        scene: index of a scene in the list `scenes` of the mosaic. It is the newest scene that contributes pixels to
            the image.
    """

    pixels: npt.NDArray[np.uint8]
    valid: Mask
    scene: int


class Mosaic:
    """Combines overlapping scenes (georeferenced images) into images of tiles.

    Each pixel comes from the newest scene that has data at this position. Scenes are opened when they are needed. The
    most recently used scenes stay open until `close` is called.

    Args:
        scenes: scenes, newest first, all with the same number of bands.
        scaling: pixel values that become 0 and 255 in the images, for scenes whose pixels are not 8-bit integers.
        open_scene: function that opens a scene.
        size_px: side length of the images in pixels.

    Attributes:
        unreachable: record of the scenes that cannot be read from their server. The mosaics of all threads share this
            record.
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
        self.unreachable = UnreachableScenes()

    def close(self) -> None:
        """Closes all open scenes (georeferenced images)."""
        while self._open:
            self._open.popitem()[1].close()

    def picture(self, tile: TileId) -> Picture | None:
        """Returns the image of a tile; None if no scene (georeferenced image) has data inside the tile.

        Raises:
            DataError: the file of a scene cannot be read.
            OfflineError: the server of a scene cannot be reached.
        """
        side = self._size_px
        pixels, valid = np.zeros((0, side, side), np.uint8), np.zeros((side, side), bool)
        newest = -1
        for index in self._find_scenes(tile):
            scene = self.scenes[index]
            found = self._sample(index, scene, tile)
            if found is None:
                continue
            values, here = self._to_bytes(found[0], scene), found[1]
            if newest < 0:  # most tiles have one scene
                pixels = values if here.all() else np.where(here, values, np.uint8(0))
                valid, newest = here, index
            else:
                np.copyto(pixels, values, where=here & ~valid)
                valid = valid | here
            if valid.all():
                break
        return Picture(pixels, valid, newest) if newest >= 0 else None

    def _find_scenes(self, tile: TileId) -> list[int]:
        """Returns the indices of the scenes whose bounding boxes intersect a tile, newest first."""
        west, south, east, north = tile_bounds(*tile)
        box = self._bounds
        meeting = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
        found: list[int] = np.flatnonzero(meeting).tolist()
        return found

    def _sample(self, index: int, scene: Scene, tile: TileId) -> tuple[Floats, Mask] | None:
        """Samples a scene (georeferenced image) at the pixels of a tile's image.

        Returns the values [bands, side, side] and the mask of valid values [side, side]; None if the scene has no valid
        pixel in the tile.
        """
        self.unreachable.check(index)
        try:
            opened = self._opened(index)
            with opened.reading():
                part = read_part(opened.source, scene, opened.mask, tile, self._size_px)
        except GeojepaError as error:
            self._discard(index)
            if isinstance(error, OfflineError):
                self.unreachable.add_failure(index)
            raise
        self.unreachable.add_success(index)
        return None if part is None else sample_part(part)

    def _opened(self, index: int) -> OpenScene:
        if index not in self._open:
            self._open[index] = self._open_scene(self.scenes[index])
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(index)
        return self._open[index]

    def _discard(self, index: int) -> None:
        """Closes a scene after a read error, because GDAL may have cached incomplete blocks of the scene."""
        opened = self._open.pop(index, None)
        if opened is not None:
            with contextlib.suppress(Exception):
                opened.close()

    def _to_bytes(self, values: Floats, scene: Scene) -> npt.NDArray[np.uint8]:
        if scene.dtype != "uint8" and self.scaling is not None:
            low, high = self.scaling
            values = (values - low) * np.float32(255.0 / (high - low))
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
