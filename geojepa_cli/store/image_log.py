"""`ImageLog`: stores the tile images that a run of the command `tile` has finished, so that a stopped run can resume.

The file `images.pixels` holds the pixels of all finished images, in the order in which the images were made.
`images.jsonl` has a header line, then one line for each finished tile. The line of a tile holds the fields of `Row`,
and a CRC-32 checksum of these fields and the pixels. The line is written after the pixels.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli.grid import TileId
from geojepa_cli.store import schema
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.images import put_images

PIXELS_FILE, LINES_FILE = "images.pixels", "images.jsonl"


class Row(NamedTuple):
    """Log entry of a finished tile image. Scenes are the georeferenced images from which tile images are made.

    Attributes:
        position: index of the tile's image in `images.pixels`; -1 if no scene covers the tile.
        valid: fraction of the image's pixels that scenes cover; 0 if no scene covers the tile.
        scene: newest scene from which the image has pixels, as an index into the list of all scenes; 0 if no scene
            covers the tile.
    """

    position: int
    valid: float = 0.0
    scene: int = 0


class ImageLog:
    """Log on disk of the tile images that a run has finished.

    Attributes:
        rows: dict from each finished tile to its log entry.
    """

    def __init__(self, folder: Path, form: ImageForm = ImageForm(), key: str = "") -> None:
        """Opens the log in a folder, or creates one. Discards unfinished tiles.

        If the folder has a log with another `form` or `key`, this log is discarded and a new one is created.

        Args:
            folder: folder of the log.
            form: size, bands and codec of the images.
            key: text that identifies the scenes and options from which the images are made.
        """
        self._form, self._image_bytes = form, int(np.prod(form.shape))
        self._pixels_path, self._lines_path = folder / PIXELS_FILE, folder / LINES_FILE
        self._header = json.dumps({"key": key, "form": list(form)}).encode() + b"\n"
        self.rows: dict[TileId, Row] = {}
        for path in (self._pixels_path, self._lines_path):
            _remove_other_kind(path)
        self._images, length = self._read()
        self._pixels, self._lines = self._pixels_path.open("ab"), self._lines_path.open("ab")
        self._pixels.truncate(self._images * self._image_bytes)
        self._lines.truncate(length)
        if length == 0:
            self._lines.write(self._header)

    def __enter__(self) -> ImageLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pixels.close()
        self._lines.close()

    def add(self, tile: TileId, pixels: npt.NDArray[np.uint8], valid: float, scene: int) -> None:
        """Adds the image of a tile to the log.

        Args:
            tile: tile of the image.
            pixels: uint8 [bands, side, side].
            valid: fraction of the pixels that a scene covers.
            scene: index of the newest scene from which the image has pixels.
        """
        data = np.ascontiguousarray(pixels).tobytes()
        self._pixels.write(data)
        self._pixels.flush()
        self._write(tile, Row(self._images, valid, scene), data)
        self._images += 1

    def add_empty(self, tile: TileId) -> None:
        """Adds a tile without an image to the log, because no scene covers the tile."""
        self._write(tile, Row(-1), b"")

    def write(self, tiles: Sequence[TileId], path: Path, scenes: list[dict[str, str]], threads: int = 1) -> int:
        """Writes images of the log to an `images.h5`. Returns the number of images.

        Args:
            tiles: tiles whose images are written, in this order. Tiles without an image are skipped.
            path: path of the `images.h5`.
            scenes: name, date and CRS of each scene. `Row.scene` is an index into this list.
            threads: number of threads that encode images.
        """
        found = [(tile, row) for tile in tiles if (row := self.rows.get(tile)) is not None and row.position >= 0]
        rows = [row for _, row in found]
        with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as out:
            put_images(out, [tile for tile, _ in found], self._form, self._read_images(rows), threads)
            out.attrs["scenes"] = json.dumps(scenes, sort_keys=True)
            out.create_dataset("valid", data=np.array([row.valid for row in rows], np.float32))
            out.create_dataset("scene", data=np.array([row.scene for row in rows], np.uint32))
        return len(found)

    def remove(self) -> None:
        """Closes the log and removes its files."""
        self.__exit__(None, None, None)
        for path in (self._pixels_path, self._lines_path):
            path.unlink(missing_ok=True)

    def _read_images(self, rows: Sequence[Row]) -> Iterator[npt.NDArray[np.uint8]]:
        with self._pixels_path.open("rb") as file:
            for row in rows:
                file.seek(row.position * self._image_bytes)
                yield np.frombuffer(file.read(self._image_bytes), np.uint8).reshape(self._form.shape)

    def _write(self, tile: TileId, row: Row, data: bytes) -> None:
        self._lines.write(json.dumps([*tile, *row, _checksum(tile, row, data)]).encode() + b"\n")
        self._lines.flush()
        self.rows[tile] = row

    def _read(self) -> tuple[int, int]:
        """Reads the log entries of finished tiles into `rows`, up to the first damaged entry.

        Returns:
            The number of undamaged images in `images.pixels`, and the number of bytes of undamaged lines in
            `images.jsonl`.
        """
        if not self._lines_path.is_file() or not self._pixels_path.is_file():
            return 0, 0
        header, *lines = self._lines_path.read_bytes().splitlines(keepends=True) or [b""]
        if header != self._header:
            return 0, 0
        images, length = 0, len(header)
        with self._pixels_path.open("rb") as pixels:
            for line in lines:
                found = _parse(line)
                if found is None or found[1].position not in (-1, images):
                    break
                tile, row, checksum = found
                data = pixels.read(self._image_bytes) if row.position >= 0 else b""
                if _checksum(tile, row, data) != checksum:
                    break
                self.rows[tile] = row
                images, length = images + (row.position >= 0), length + len(line)
        return images, length


def _parse(line: bytes) -> tuple[TileId, Row, int] | None:
    """Parses a line of `images.jsonl`. Returns the tile, its log entry and the checksum; None for a damaged line."""
    try:
        z, x, y, position, valid, scene, checksum = json.loads(line)
        tile, row = TileId(int(z), int(x), int(y)), Row(int(position), float(valid), int(scene))
        return (tile, row, int(checksum)) if line.endswith(b"\n") else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _checksum(tile: TileId, row: Row, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(json.dumps([*tile, *row]).encode()))


def _remove_other_kind(path: Path) -> None:
    """Removes a directory or a symbolic link that is in the place of a log file."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
