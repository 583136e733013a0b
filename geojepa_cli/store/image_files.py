"""Finds and decodes image tiles (one image per map tile) in a folder: `zoom_x_y.webp`, `.png` or `.jpg`."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile
from geojepa_cli.hints import Hint
from geojepa_cli.store.image_form import SIZE_PX

_FILE_NAME = re.compile(r"(\d+_\d+_\d+)\.(?:webp|png|jpe?g)", re.IGNORECASE)
_FORMATS = ("WEBP", "PNG", "JPEG")  # accepted by content; Pillow opens many more, some by running other programs
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)


def find_images(folder: Path) -> list[tuple[TileId, Path]]:
    """Returns the image files of a folder that are named like a tile, sorted like the tiles in `tiles.h5`.

    Raises:
        DataError: two files are images of the same tile, or a file is named like a tile outside the grid.
    """
    found: dict[TileId, Path] = {}
    for path in sorted(folder.iterdir()):
        try:
            tile = parse_image_name(path.name)
        except UsageError as error:
            raise DataError(f"`{path}`: {error.message}", _set_aside(path)) from None
        if tile is None:
            continue
        if tile in found:
            message = f"`{found[tile]}` and `{path}` are both images of tile `{tile.name}`"
            raise DataError(message, _set_aside(path))
        found[tile] = path
    return sorted(found.items(), key=lambda item: _order(item[0]))


def parse_image_name(name: str) -> TileId | None:
    """Returns the tile of an image file with a name such as `16_18052_25957.webp`; None for other file names.

    Raises:
        UsageError: the file is named like a tile outside the grid.
    """
    match = _FILE_NAME.fullmatch(name)
    return parse_tile(match[1]) if match else None


def read_image(path: Path, resize: bool = False) -> npt.NDArray[np.uint8]:
    """Decodes an RGB image: uint8 [3, 224, 224].

    Args:
        path: path of the image file.
        resize: True to resize a square image of another size to 224 px (Lanczos). If False, another size is an error.

    Raises:
        DataError: the file cannot be decoded, has another size or more than 8 bits per channel, or is so large that
            decoding it would exhaust memory (decompression bomb).
    """
    from PIL import Image

    hint = _set_aside(path).noting(f"or replace it by an image of {SIZE_PX} × {SIZE_PX} px")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_header(image.size, image.mode, path, resize, hint)
                pixels = image.convert("RGB")
    except _DECODER_ERRORS as error:
        raise DataError(f"`{path}` cannot be decoded: {_describe_error(error)}", hint) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"`{path}` is too large to be decoded: {error}", hint) from error
    if pixels.size != (SIZE_PX, SIZE_PX):
        pixels = pixels.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(pixels, np.uint8).transpose(2, 0, 1))


def is_transparent(path: Path) -> bool:
    """Returns True if an image has a pixel that is not opaque."""
    from PIL import Image

    with Image.open(path, formats=_FORMATS) as image:
        if not image.has_transparency_data:
            return False
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return lowest != 255


def _check_header(size: tuple[int, int], mode: str, path: Path, resize: bool, hint: Hint) -> None:
    """Checks the size and bit depth of an image before it is decoded."""
    width, height = size
    if size != (SIZE_PX, SIZE_PX) and not (resize and width == height):
        raise DataError(f"`{path}` is {width} × {height} px, expected {SIZE_PX} × {SIZE_PX}", hint)
    if mode.startswith(("I", "F")):
        raise DataError(f"`{path}` has more than 8 bits in a channel, expected 8", hint)


def _describe_error(error: Exception) -> str:
    """Returns the message of a decoder error, without the path of the file."""
    return "not a WebP, PNG or JPEG image" if "cannot identify" in str(error) else str(error)


def _set_aside(path: Path) -> Hint:
    """Returns two commands: rename an image file, so that it is ignored, and repeat the failed command."""
    return hints.again().after(hints.shell("mv", str(path), f"{path}.bak"))


def _order(tile: TileId) -> tuple[int, int, int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.y >> shift, tile.x >> shift, tile.y, tile.x
