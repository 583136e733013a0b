"""`images.h5`: image tiles as one uncompressed array, joined to map tiles by name when they are read."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile
from geojepa_cli.store import schema
from geojepa_cli.store.reader import map_columns

SIZE_PX = 224
_FILE_NAME = re.compile(r"(\d+_\d+_\d+)\.(?:webp|png|jpe?g)", re.IGNORECASE)
_FORMATS = ("WEBP", "PNG", "JPEG")  # by content; Pillow would open many more, some by way of other programs
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # what Pillow's decoders raise
_HINT = "geojepa fetch --pbf FILE --name NAME --imagery DIR"


class ImageStore:
    """Memory-mapped images of one region.

    Attributes:
        image: uint8 [n, 3, 224, 224], RGB.
        zxy: int64 [n, 3], zoom, column and row of each image's tile.
    """

    def __init__(self, path: Path | str) -> None:
        """Opens an `images.h5`.

        Raises:
            DataError: unreadable, of another schema, or without the expected columns.
        """
        self.path = Path(path)
        columns, attributes = map_columns(self.path, _HINT)
        found = attributes.get("schema_version")
        if found != schema.VERSION:
            raise DataError(f"`{self.path}` has schema {found}, this version reads {schema.VERSION}", _HINT)
        missing = [name for name in ("z", "x", "y", "image") if name not in columns]
        if missing:
            raise DataError(f"`{self.path}` has no column `{missing[0]}`", _HINT)
        self.image: npt.NDArray[np.uint8] = columns["image"]
        self.zxy = np.stack([columns[name] for name in "zxy"], 1).astype(np.int64)
        if self.image.shape != (len(self.zxy), 3, SIZE_PX, SIZE_PX) or self.image.dtype != np.uint8:
            got = f"{self.image.dtype} {list(self.image.shape)}"
            raise DataError(f"`image` of `{self.path}` is {got}, expected uint8 [{len(self.zxy)}, 3, 224, 224]", _HINT)

    def __len__(self) -> int:
        return len(self.zxy)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageStore, (self.path,))

    def rows_of(self, z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The image row of each tile, -1 where it has none: int64 [tiles]."""
        wanted = _keys(np.stack([np.asarray(a, np.int64) for a in (z, x, y)], -1))
        have = _keys(self.zxy)
        if len(have) == 0:
            return np.full(wanted.shape, -1, np.int64)
        order = np.argsort(have, kind="stable")
        place = np.minimum(np.searchsorted(have[order], wanted), len(have) - 1)
        rows = order[place]
        return np.where(have[rows] == wanted, rows, -1).astype(np.int64)


def find_images(folder: Path) -> list[tuple[TileId, Path]]:
    """The image tiles of a folder, `zoom_x_y.webp` (or png, jpg), sorted as map tiles are.

    Raises:
        DataError: two files show the same tile, or a name is that of no tile.
    """
    found: dict[TileId, Path] = {}
    for path in sorted(folder.iterdir()):
        try:
            tile = parse_image_name(path.name)
        except UsageError as error:
            raise DataError(f"`{path}`: {error.message}", error.hint) from None
        if tile is None:
            continue
        if tile in found:
            raise DataError(f"`{found[tile]}` and `{path}` are both images of tile `{tile.name}`", "remove one of them")
        found[tile] = path
    return sorted(found.items(), key=lambda item: _order(item[0]))


def parse_image_name(name: str) -> TileId | None:
    """The tile of a file name such as `16_18052_25957.webp`; None for other names.

    Raises:
        UsageError: the name has that form, but lies outside the grid of its zoom.
    """
    match = _FILE_NAME.fullmatch(name)
    return parse_tile(match[1]) if match else None


def write_images(
    folder: Path,
    path: Path,
    zoom: int | None = None,
    resize: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Decodes the image tiles of a folder into `images.h5`, and returns how many there are.

    Args:
        folder: holds `zoom_x_y.(webp|png|jpg)` of 224 × 224 px; other files are passed over.
        path: the file to write.
        zoom: take tiles of this zoom only.
        resize: bring square images of other sizes to 224 px (Lanczos); otherwise another size is an error.
        progress: called with (done, total) after each image.

    Raises:
        DataError: an image cannot be decoded or has another size.
    """
    images = [(tile, file) for tile, file in find_images(folder) if zoom is None or tile.z == zoom]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as out:
        column = create_images(out, [tile for tile, _ in images])
        for row, (_, file) in enumerate(images):
            column[row] = read_image(file, resize)
            if progress is not None:
                progress(row + 1, len(images))
    return len(images)


def create_images(out: h5py.File, tiles: Sequence[TileId]) -> h5py.Dataset:
    """The attributes and tile columns of an `images.h5`; returns its empty column of images."""
    out.attrs["schema_version"] = np.uint32(schema.VERSION)
    out.attrs["kind"] = "images"
    for i, name in enumerate("zxy"):
        out.create_dataset(name, data=np.array([tile[i] for tile in tiles], np.uint32))
    return out.create_dataset("image", (len(tiles), 3, SIZE_PX, SIZE_PX), np.uint8)


def read_image(path: Path, resize: bool = False) -> npt.NDArray[np.uint8]:
    """One image as uint8 [3, 224, 224], RGB.

    Raises:
        DataError: it cannot be decoded, has another size or more than 8 bits, or is a decompression bomb.
    """
    from PIL import Image

    hint = f"remove `{path}`, or put a whole image of {SIZE_PX} × {SIZE_PX} px there"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_form(image.size, image.mode, path, resize, hint)
                pixels = image.convert("RGB")
    except _UNREADABLE as error:
        raise DataError(f"`{path}` cannot be decoded: {_told(error)}", hint) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"`{path}` is refused: {error}", hint) from error
    if pixels.size != (SIZE_PX, SIZE_PX):
        pixels = pixels.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(pixels, np.uint8).transpose(2, 0, 1))


def _check_form(size: tuple[int, int], mode: str, path: Path, resize: bool, hint: str) -> None:
    """Told by the header, before anything is decoded."""
    width, height = size
    if size != (SIZE_PX, SIZE_PX) and not (resize and width == height):
        raise DataError(f"`{path}` is {width} × {height} px, expected {SIZE_PX} × {SIZE_PX}", hint)
    if mode.startswith(("I", "F")):
        raise DataError(f"`{path}` has more than 8 bits in a channel", hint)


def _told(error: Exception) -> str:
    """Pillow's words, without the path that it repeats."""
    return "it is no WebP, PNG or JPEG image" if "cannot identify" in str(error) else str(error)


def _keys(zxy: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number for each tile, zoom included."""
    return zxy[..., 0] << 56 | zxy[..., 1] << 28 | zxy[..., 2]


def _order(tile: TileId) -> tuple[int, int, int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.y >> shift, tile.x >> shift, tile.y, tile.x
