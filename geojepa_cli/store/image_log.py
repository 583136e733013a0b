"""Resampled images on their way to `images.h5`: what a run has made is kept, and the next one goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli.grid import TileId
from geojepa_cli.store import schema
from geojepa_cli.store.image_form import SIZE_PX, ImageForm
from geojepa_cli.store.images import put_images

IMAGE_BYTES = 3 * SIZE_PX * SIZE_PX  # of the default form
_PIXELS, _LINES = "images.pixels", "images.jsonl"


class Row(NamedTuple):
    """One image that was resampled from scenes.

    Attributes:
        place: where its pixels stand among those kept; -1 where no scene covers the tile.
        valid: share of its pixels that a scene covers, above 0 and up to 1.
        scene: index of the newest scene in it.
    """

    place: int
    valid: float = 0.0
    scene: int = 0


class ImageLog:
    """Pixels in one file, in the order in which they came, and a line for each tile in another, written after them.

    Attributes:
        rows: what is known of the tiles that are done.
    """

    def __init__(self, folder: Path, form: ImageForm = ImageForm()) -> None:
        """Opens the log of a folder, and reads what an earlier run with images of this form left there."""
        self._form, self._image_bytes = form, int(np.prod(form.shape))
        self._pixels_path, self._lines_path = folder / _PIXELS, folder / _LINES
        self.rows: dict[TileId, Row] = {}
        images, length = self._read()
        self._pixels, self._lines = self._pixels_path.open("ab"), self._lines_path.open("ab")
        self._pixels.truncate(images * self._image_bytes)  # a kill leaves pixels without a line, or half a line
        self._lines.truncate(length)
        self._images = images

    def __enter__(self) -> ImageLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pixels.close()
        self._lines.close()

    def add(self, tile: TileId, pixels: npt.NDArray[np.uint8], valid: float, scene: int) -> None:
        """Keeps an image, uint8 [bands, side, side]."""
        self._pixels.write(np.ascontiguousarray(pixels).tobytes())
        self._pixels.flush()
        self._write(tile, Row(self._images, valid, scene))
        self._images += 1

    def add_empty(self, tile: TileId) -> None:
        """Keeps that no scene covers a tile."""
        self._write(tile, Row(-1))

    def write(self, tiles: Sequence[TileId], path: Path, scenes: list[dict[str, str]], threads: int = 1) -> int:
        """Writes the images of tiles to an `images.h5`, and returns how many there are.

        Args:
            tiles: in the order of the file; those without an image are passed over.
            path: the file to write.
            scenes: name, date and CRS of each scene, in the order that `Row.scene` counts.
            threads: that pack images.
        """
        found = [(tile, row) for tile in tiles if (row := self.rows.get(tile)) is not None and row.place >= 0]
        with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as out:
            put_images(
                out, [tile for tile, _ in found], self._form, self._images_of([row for _, row in found]), threads
            )
            out.attrs["scenes"] = json.dumps(scenes, sort_keys=True)
            out.create_dataset("valid", data=np.array([row.valid for _, row in found], np.float32))
            out.create_dataset("scene", data=np.array([row.scene for _, row in found], np.uint32))
        return len(found)

    def remove(self) -> None:
        """Closes the log and removes its files."""
        self.__exit__(None, None, None)
        for path in (self._pixels_path, self._lines_path):
            path.unlink(missing_ok=True)

    def _images_of(self, rows: Sequence[Row]) -> Iterator[npt.NDArray[np.uint8]]:
        with self._pixels_path.open("rb") as file:
            for row in rows:
                file.seek(row.place * self._image_bytes)
                yield np.frombuffer(file.read(self._image_bytes), np.uint8).reshape(self._form.shape)

    def _write(self, tile: TileId, row: Row) -> None:
        self._lines.write(json.dumps([*tile, *row]).encode() + b"\n")
        self._lines.flush()
        self.rows[tile] = row

    def _read(self) -> tuple[int, int]:
        """Takes up the whole lines whose pixels are there; how many images, and how many bytes of lines, they are."""
        if not self._lines_path.is_file():
            return 0, 0
        have = self._pixels_path.stat().st_size // self._image_bytes if self._pixels_path.is_file() else 0
        images = length = 0
        for line in self._lines_path.read_bytes().splitlines(keepends=True):
            try:
                z, x, y, place, valid, scene = json.loads(line)
                row = Row(int(place), float(valid), int(scene))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n") or row.place >= have:
                break
            self.rows[TileId(z, x, y)] = row
            images, length = max(images, row.place + 1), length + len(line)
        return images, length
