"""Writes EXIF byte by byte, valid or not, and puts it into JPEG files (TIFF 6.0, section 2; EXIF 2.32, section 4.6)."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Entry = tuple[int, int, bytes]  # type, count, bytes of the value
Entries = Mapping[int, Entry]
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5
ORIENTATION, EXIF_IFD, GPS_IFD, FOCAL_35MM = 0x0112, 0x8769, 0x8825, 0xA405
HEADER = 8


def ascii_(text: str) -> Entry:
    value = text.encode() + b"\0"
    return ASCII, len(value), value


def short(value: int) -> Entry:
    return SHORT, 1, struct.pack("<H", value)


def long(value: int) -> Entry:
    return LONG, 1, struct.pack("<I", value)


def rationals(*pairs: tuple[int, int]) -> Entry:
    return RATIONAL, len(pairs), b"".join(struct.pack("<II", *pair) for pair in pairs)


def gps(lon: tuple[float, float, float], lat: tuple[float, float, float], east: str = "E", north: str = "N") -> Entries:
    """GPS entries of a place in degrees, minutes and seconds (to a millionth)."""

    def angle(parts: tuple[float, float, float]) -> Entry:
        return rationals(*((round(part * 1_000_000), 1_000_000) for part in parts))

    return {1: ascii_(north), 2: angle(lat), 3: ascii_(east), 4: angle(lon)}


def _directory(entries: Entries, at: int, following: int = 0) -> bytes:
    """A directory that starts at the byte `at`, followed by the values that are longer than four bytes."""
    head, values = struct.pack("<H", len(entries)), b""
    after = at + 2 + 12 * len(entries) + 4
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > 4:
            place = struct.pack("<I", after + len(values))
            values += value + b"\0" * (len(value) % 2)
        else:
            place = value.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, kind, count) + place
    return head + struct.pack("<I", following) + values


def exif(
    main: Entries | None = None,
    more: Entries | None = None,
    places: Entries | None = None,
    thumbnail: bytes = b"",
    thumbnail_entries: Entries | None = None,
) -> bytes:
    """EXIF with up to four directories: of the photo, of the exposure, of the GPS, and of the thumbnail."""
    main = dict(main or {})
    sizes = [len(_directory(part or {}, 0)) for part in (more, places)]
    for tag, part in ((EXIF_IFD, more), (GPS_IFD, places)):
        if part is not None:
            main[tag] = long(0)
    start = HEADER + len(_directory(main, HEADER))
    if more is not None:
        main[EXIF_IFD] = long(start)
    if places is not None:
        main[GPS_IFD] = long(start + sizes[0])
    last = start + sum(sizes)
    of_thumbnail = dict(thumbnail_entries or {}) | {0x0201: long(0), 0x0202: long(len(thumbnail))}
    of_thumbnail[0x0201] = long(last + len(_directory(of_thumbnail, last)))
    parts = [struct.pack("<2sHI", b"II", 42, HEADER), _directory(main, HEADER, last if thumbnail else 0)]
    parts += [_directory(more or {}, start), _directory(places or {}, start + sizes[0])]
    parts += [_directory(of_thumbnail, last), thumbnail] if thumbnail else []
    return b"".join(parts)


def jpeg(pixels: np.ndarray | None = None, metadata: bytes | None = None, seed: int = 0) -> bytes:
    """A JPEG file with EXIF.

    Args:
        pixels: uint8 [rows, columns, 3]. Default: 160 × 120 px in coarse random colours.
        metadata: EXIF, or None for a file without.
        seed: seed of the random colours.
    """
    if pixels is None:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        pixels = np.kron(coarse, np.ones((20, 20, 1), np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
    plain = file.getvalue()
    if metadata is None:
        return plain
    segment = b"Exif\0\0" + metadata
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


def write_photo(path: Path, metadata: bytes | None = None, seed: int = 0) -> Path:
    """Writes a small JPEG file in random colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(metadata=metadata, seed=seed))
    return path


def with_size(content: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG file whose header states another size."""
    for marker in (b"\xff\xc0\x00\x11\x08", b"\xff\xc2\x00\x11\x08"):
        place = content.find(marker)
        if place >= 0:
            return content[: place + 5] + struct.pack(">HH", height, width) + content[place + 9 :]
    raise ValueError("the file has no frame header")
