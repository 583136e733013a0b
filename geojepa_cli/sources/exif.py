"""Reads place, direction and orientation of a photo from its EXIF. The bytes of EXIF are not trusted.

Pillow parses the EXIF. Its values can have any type, so every value is checked. Only the directories of the photo
itself and of its GPS are read, never the directory of the thumbnail.
"""

from __future__ import annotations

import math
import struct
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

# errors of Pillow's decoders for damaged files
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(EOFError, ArithmeticError, RecursionError, struct.error),
)
ORIENTATIONS = range(1, 9)
MAX_FOCAL_MM = 5000.0
NO_GPS, ZERO_PLACE, INVALID_GPS, DAMAGED_EXIF = "no_gps", "zero_place", "invalid_gps", "damaged_exif"

_ORIENTATION, _EXIF_IFD, _GPS_IFD = 0x0112, 0x8769, 0x8825
_FOCAL_35MM = 0xA405
_LAT_REF, _LAT, _LON_REF, _LON, _DIRECTION_REF, _DIRECTION = 1, 2, 3, 4, 16, 17
_ZERO_DEG = 1e-7  # smallest step of coordinates in OSM, about 1 cm


class Exif(NamedTuple):
    """Values of a photo's EXIF.

    Attributes:
        place: longitude and latitude in degrees; None if EXIF has no valid place.
        problem: reason why `place` is None: `no_gps`, `zero_place`, `invalid_gps` or `damaged_exif`; otherwise "".
        heading: direction of the camera in degrees clockwise from north, from 0 (included) to 360 (excluded). NaN if it
            is unknown.
        magnetic: True if `heading` is relative to magnetic north.
        focal_mm: focal length in mm of a 35 mm camera with the same diagonal field of view. NaN if it is unknown.
        orientation: EXIF orientation, from 1 (the rows of the file are the rows of the photo) to 8.
    """

    place: tuple[float, float] | None = None
    problem: str = NO_GPS
    heading: float = math.nan
    magnetic: bool = False
    focal_mm: float = math.nan
    orientation: int = 1


def read_exif(image: Image) -> Exif:
    """Reads the EXIF of an opened image. Never raises an error for damaged EXIF.

    Args:
        image: image that Pillow has opened. Its pixels need not be decoded.
    """
    with warnings.catch_warnings(record=True) as caught:  # Pillow warns of damaged EXIF
        warnings.simplefilter("always")
        try:
            exif = image.getexif()
            main = dict(exif)
        except DECODER_ERRORS:
            return Exif(problem=DAMAGED_EXIF)
        gps, more = _directory(exif, _GPS_IFD), _directory(exif, _EXIF_IFD)
    place, problem = _place(gps)
    if problem == NO_GPS and (gps is None or caught):
        problem = DAMAGED_EXIF
    gps, more = gps or {}, more or {}
    heading = _number(gps.get(_DIRECTION))
    known = 0.0 <= heading <= 360.0
    focal_mm = _number(more.get(_FOCAL_35MM))  # 0 stands for unknown
    return Exif(
        place,
        problem,
        heading % 360.0 if known else math.nan,
        known and _letter(gps.get(_DIRECTION_REF)) == "M",
        focal_mm if 0.0 < focal_mm <= MAX_FOCAL_MM else math.nan,
        orientation_of(main.get(_ORIENTATION)),
    )


def orientation_of(value: Any) -> int:
    """Converts a value of the EXIF tag `Orientation` to 1 to 8. Returns 1 for invalid values."""
    number = _number(value)
    return int(number) if number in ORIENTATIONS else 1


def _directory(exif: Any, tag: int) -> dict[int, Any] | None:
    """Returns the entries of a directory of EXIF: empty if there is no such directory, None if it is damaged."""
    try:
        return dict(exif.get_ifd(tag) or {})
    except DECODER_ERRORS:
        return None


def _place(gps: dict[int, Any] | None) -> tuple[tuple[float, float] | None, str]:
    """Returns longitude and latitude, or None and the reason why there is no place."""
    if not gps or not {_LAT, _LON} & gps.keys():
        return None, NO_GPS
    lat = _degrees(gps.get(_LAT), _letter(gps.get(_LAT_REF)), "N", "S", 90.0)
    lon = _degrees(gps.get(_LON), _letter(gps.get(_LON_REF)), "E", "W", 180.0)
    if math.isnan(lat) or math.isnan(lon):
        return None, INVALID_GPS
    return (None, ZERO_PLACE) if is_zero(lon, lat) else ((lon, lat), "")


def is_zero(lon: float, lat: float) -> bool:
    """Returns True for the place 0° N 0° E, which devices without a position write."""
    return abs(lon) < _ZERO_DEG and abs(lat) < _ZERO_DEG


def _degrees(value: Any, letter: str, positive: str, negative: str, limit: float) -> float:
    """Converts degrees, minutes and seconds, of which the last may be missing, to degrees. NaN if they are invalid."""
    parts = [_number(part) for part in (value if isinstance(value, tuple | list) else (value,))]
    if not 1 <= len(parts) <= 3 or letter not in (positive, negative):
        return math.nan
    degrees, minutes, seconds = [*parts, 0.0, 0.0][:3]
    # comparisons with NaN are false; some devices write 60 seconds
    if not (degrees >= 0.0 and 0.0 <= minutes <= 60.0 and 0.0 <= seconds <= 60.0):
        return math.nan
    found = degrees + minutes / 60.0 + seconds / 3600.0
    if found > limit:
        return math.nan
    return -found if letter == negative else found


def _number(value: Any) -> float:
    """Converts a value of EXIF to a finite number. Returns NaN for text, bytes, and fractions with denominator 0."""
    if isinstance(value, tuple | list) and len(value) == 1:
        (value,) = value
    if value is None or isinstance(value, str | bytes | tuple | list):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def _letter(value: Any) -> str:
    """Returns the first letter of a text of EXIF, such as `N`, in upper case; empty if there is none."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.strip("\0 ")[:1].upper() if isinstance(text, str) else ""
