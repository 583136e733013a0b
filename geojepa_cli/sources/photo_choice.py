"""Decides which of a user's street-level photos are used: those that can be decoded and have a place in the region."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from geojepa_cli.grid import Bounds
from geojepa_cli.sources.exif import ZERO_PLACE, is_zero
from geojepa_cli.sources.photo_files import Candidate, is_file
from geojepa_cli.sources.photos import SIDE_PX, OpenPhoto, PhotoError, open_photo
from geojepa_cli.store.photos import PhotoRow

NO_FILE, OUTSIDE, DUPLICATE = "no_file", "outside", "duplicate"


class Dropped(NamedTuple):
    """A photo that is left out: name of the file, reason, and description of the problem."""

    file: str
    reason: str
    detail: str = ""


class Chosen:
    """The photos that can be used. Iterating decodes them one by one, and records the photos that are left out.

    Attributes:
        photos: photos that the user gave.
        boxes: bounding boxes (west, south, east, north) of the region in degrees.
        dropped: photos that are left out. Complete after the iteration.
        magnetic: number of used photos whose heading is relative to magnetic north.
    """

    def __init__(
        self, photos: Sequence[Candidate], boxes: Sequence[Bounds], meter: Callable[[int, int], None] | None = None
    ) -> None:
        self.photos, self.boxes = photos, boxes
        self.dropped: list[Dropped] = []
        self.magnetic = 0
        self._meter = meter
        self._first: dict[bytes, str] = {}  # digest of pixels and place -> name of the first photo

    def __iter__(self) -> Iterator[PhotoRow]:
        for number, photo in enumerate(self.photos, 1):
            row = None
            try:
                row = self._read(photo)
            except PhotoError as error:
                self.dropped.append(Dropped(photo.name, error.reason, error.detail))
            if self._meter is not None:
                self._meter(number, len(self.photos))
            if row is not None:
                yield row

    def _read(self, photo: Candidate) -> PhotoRow:
        """Reads a photo.

        Raises:
            PhotoError: the photo cannot be used.
        """
        if photo.problem:
            raise PhotoError(photo.problem)
        if photo.path is None:
            raise PhotoError(NO_FILE, "the table has no path")
        if not is_file(photo.path):
            raise PhotoError(NO_FILE, "there is no such file")
        try:
            with open_photo(photo.path) as opened:
                return self._check(photo, opened)
        except OSError as error:
            raise PhotoError(NO_FILE, (error.strerror or "cannot be read").lower()) from error

    def _check(self, photo: Candidate, opened: OpenPhoto) -> PhotoRow:
        exif = opened.exif
        place = photo.place or exif.place
        if place is None:
            raise PhotoError(exif.problem)
        lon, lat = place
        if is_zero(lon, lat):
            raise PhotoError(ZERO_PLACE)
        if not any(west <= lon <= east and south <= lat <= north for west, south, east, north in self.boxes):
            raise PhotoError(OUTSIDE, f"at {lon:.7f},{lat:.7f}")
        pixels = opened.square(SIDE_PX)
        key = hashlib.sha256(struct.pack("<2d", lon, lat) + pixels.tobytes()).digest()
        if key in self._first:
            raise PhotoError(DUPLICATE, f"of {self._first[key]}")
        self._first[key] = photo.name
        given = not math.isnan(photo.heading)
        self.magnetic += exif.magnetic and not given
        whole = opened.field_of_view if math.isnan(photo.field_of_view) else photo.field_of_view
        heading = photo.heading if given else exif.heading
        return PhotoRow(photo.name, lon, lat, heading, opened.field_of_view_of_square(whole), pixels)
