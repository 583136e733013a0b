"""Log of resampled images, from which a killed run is resumed.

`images.pixels` holds the pixels in the order in which they were made. `images.jsonl` has a header, and a line for each
finished tile, written after its pixels. A line holds the CRC-32 of its values and pixels.
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
from geojepa_cli.store.image_form import SIZE_PX, ImageForm
from geojepa_cli.store.images import put_images

IMAGE_BYTES = 3 * SIZE_PX * SIZE_PX  # of the default form
PIXELS_FILE, LINES_FILE = "images.pixels", "images.jsonl"


class Row(NamedTuple):
    """One tile whose image was resampled from scenes.

    Attributes:
        position: of its image in `images.pixels`; -1 where no scene covers the tile.
        valid: share of its pixels that a scene covers, above 0 and up to 1.
        scene: index of the newest scene in it.
    """

    position: int
    valid: float = 0.0
    scene: int = 0


class ImageLog:
    """The images that a run has made so far.

    Attributes:
        rows: finished tiles.
    """

    def __init__(self, folder: Path, form: ImageForm = ImageForm(), key: str = "") -> None:
        """Opens the log of a folder. Discards what an earlier run left unfinished, and any log with another header.

        Args:
            folder: of the log.
            form: of the images.
            key: identifies what the images are made from.
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
        """Adds an image, uint8 [bands, side, side]."""
        data = np.ascontiguousarray(pixels).tobytes()
        self._pixels.write(data)
        self._pixels.flush()
        self._write(tile, Row(self._images, valid, scene), data)
        self._images += 1

    def add_empty(self, tile: TileId) -> None:
        """Adds a tile that no scene covers."""
        self._write(tile, Row(-1), b"")

    def write(self, tiles: Sequence[TileId], path: Path, scenes: list[dict[str, str]], threads: int = 1) -> int:
        """Writes the images of tiles to an `images.h5`, and returns their number.

        Args:
            tiles: in the order of the file; those without an image are skipped.
            path: of the file.
            scenes: name, date and CRS of each scene that `Row.scene` may name.
            threads: that pack images.
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
        """Reads finished tiles up to the first one that is damaged.

        Returns:
            The number of their images, and the bytes of their lines.
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
    """Returns tile, row and checksum of a line; None where it is damaged."""
    try:
        z, x, y, position, valid, scene, checksum = json.loads(line)
        tile, row = TileId(int(z), int(x), int(y)), Row(int(position), float(valid), int(scene))
        return (tile, row, int(checksum)) if line.endswith(b"\n") else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _checksum(tile: TileId, row: Row, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(json.dumps([*tile, *row]).encode()))


def _remove_other_kind(path: Path) -> None:
    """Removes a directory or link in the place of a file."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
