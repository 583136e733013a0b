"""Decodes street-level photos: upright, cropped to a square, of a fixed size, with place and direction from EXIF."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.sources.exif import DECODER_ERRORS, Exif, read_exif

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE_PX = 224
MIN_SIDE_PX = 64  # of the file; smaller images are icons and thumbnails
MAX_PIXELS = 120_000_000  # more than any camera of 2020; a progressive JPEG takes 6 bytes of memory per pixel
FORMATS = ("JPEG", "PNG", "WEBP")  # accepted by content; Pillow opens many more, some by running other programs
UNDECODABLE, TOO_LARGE, TOO_SMALL = "undecodable", "too_large", "too_small"
_DIAGONAL_35MM = math.hypot(36.0, 24.0)  # mm

Pixels = npt.NDArray[np.uint8]


class PhotoError(Exception):
    """Raised for a file that is not a usable photo.

    Attributes:
        reason: name of the reason, such as `undecodable`, as in the counts of the `photos/` artifact.
        detail: description of the problem; empty if the reason says all.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason, self.detail = reason, detail


class OpenPhoto(NamedTuple):
    """A photo whose header and EXIF are read. Its pixels are decoded by `square`.

    Attributes:
        image: opened image of Pillow.
        width: number of columns of the upright photo.
        height: number of rows of the upright photo.
        exif: place and direction.
    """

    image: Image
    width: int
    height: int
    exif: Exif

    @property
    def field_of_view(self) -> float:
        """Horizontal field of view of the whole photo in degrees; NaN if EXIF has no focal length.

        The focal length in 35 mm format keeps the diagonal field of view (CIPA DCG-001).
        """
        focal_px = self.exif.focal_mm * math.hypot(self.width, self.height) / _DIAGONAL_35MM
        return math.degrees(2.0 * math.atan(self.width / (2.0 * focal_px)))

    def field_of_view_of_square(self, field_of_view: float) -> float:
        """Returns the horizontal field of view of the square in degrees.

        Args:
            field_of_view: horizontal field of view of the whole photo in degrees. From 180°, the photo is taken for a
                panorama whose columns have equal angles.
        """
        share = min(self.width, self.height) / self.width
        if share == 1.0 or not field_of_view < 180.0:
            return field_of_view * share
        return math.degrees(2.0 * math.atan(share * math.tan(math.radians(field_of_view) / 2.0)))

    def square(self, side_px: int = SIDE_PX) -> Pixels:
        """Decodes the largest square around the centre of the upright photo.

        Returns:
            RGB pixels, uint8 [3, side_px, side_px], rows from the top.

        Raises:
            PhotoError: the photo is too small, or its pixels are damaged.
        """
        from PIL import Image

        image = self.image
        short = min(image.size)
        if short < MIN_SIDE_PX:
            have = f"{self.width} × {self.height} px"
            raise PhotoError(TOO_SMALL, f"{have}, expected at least {MIN_SIDE_PX} × {MIN_SIDE_PX} px")
        with _decoding():
            # JPEG: decodes at a half, a quarter or an eighth of the size, which is still twice as fine as the result
            image.draft(image.mode, (2 * side_px * image.width // short, 2 * side_px * image.height // short))
            upright = image.convert("RGB")
            short = min(upright.size)
            left, top = (upright.width - short) / 2.0, (upright.height - short) / 2.0
            box = (left, top, left + short, top + short)
            small = upright.resize((side_px, side_px), Image.Resampling.LANCZOS, box)
        turns = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }
        turn = turns.get(self.exif.orientation)
        small = small if turn is None else small.transpose(turn)
        return np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))


@contextmanager
def open_photo(path: Path) -> Iterator[OpenPhoto]:
    """Context manager that opens a photo, and reads its header and EXIF.

    The photo is the main image of the file, never the thumbnail in its EXIF or another image that the file contains.

    Args:
        path: path of a JPEG, PNG or WebP file.

    Raises:
        PhotoError: the file is not such an image, or is so large that decoding it would exhaust memory.
        OSError: the file cannot be read.
    """
    from PIL import Image

    with path.open("rb") as file:
        with _decoding():
            image = Image.open(file, formats=FORMATS)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PhotoError(TOO_LARGE, f"{width:,} × {height:,} px, expected at most {MAX_PIXELS:,} pixels")
            if image.mode.startswith(("I", "F")):
                raise PhotoError(UNDECODABLE, "more than 8 bits in a channel, expected 8")
            exif = read_exif(image)
            turned = exif.orientation >= 5
            yield OpenPhoto(image, height if turned else width, width if turned else height, exif)


@contextmanager
def _decoding() -> Iterator[None]:
    """Context manager that converts errors of Pillow to a `PhotoError` and ignores its warnings."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of sizes that are checked against a lower limit
            yield
    except Image.DecompressionBombError as error:
        raise PhotoError(TOO_LARGE, str(error)) from error
    except DECODER_ERRORS as error:
        unknown = "cannot identify" in str(error)
        raise PhotoError(UNDECODABLE, "not a JPEG, PNG or WebP image" if unknown else str(error)) from error
