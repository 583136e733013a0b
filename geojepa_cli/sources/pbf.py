"""Checks that an OSM PBF file is complete. Every blob is decompressed once, to find damage before any work starts.

An OSM PBF file is a sequence of blobs (https://wiki.openstreetmap.org/wiki/PBF_Format). Each blob consists of the
length of its header (4 bytes, big-endian), a `BlobHeader` message and a `Blob` message. `geojepa-tiler` reads the
content of the blobs.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import DataError

MAX_HEADER_BYTES = 64 * 1024  # both limits are from the specification
MAX_BLOB_BYTES = 32 * 1024 * 1024
HINT = hints.advice("download it again, and compare its size or MD5 with the server's")


class Frame(NamedTuple):
    """A blob of a PBF file: type (`OSMHeader` or `OSMData`), position of its first byte, and size in bytes."""

    type: str
    start: int
    size: int


class FrameError(ValueError):
    """The bytes are not a valid blob or blob header of a PBF file."""


def count_data_blobs(path: Path) -> int:
    """Counts the data blobs of a PBF file, and checks that the file is complete.

    Raises:
        DataError: the file is truncated or damaged, or has no data blob. The message states the position of the damage.
    """
    size = path.stat().st_size
    data = 0
    with path.open("rb") as file:
        try:
            for number, frame in enumerate(frames(file, size)):
                if number == 0 and frame.type != "OSMHeader":
                    raise DataError(f"`{path}` begins with a blob of type `{frame.type}`, expected `OSMHeader`", HINT)
                data += frame.type == "OSMData"
                place = file.tell()
                _check_blob(file.read(frame.size), frame)
                file.seek(place)
        except FrameError as error:
            raise DataError(f"`{path}` is a damaged or truncated PBF file: {error}", HINT) from None
    if data == 0:
        raise DataError(f"`{path}` holds no data, only a header", hints.run("fetch", pbf="FILE", name="NAME"))
    return data


def frames(file: BinaryIO, size: int) -> Iterator[Frame]:
    """Yields the blobs of a PBF file, from the current position of the file up to byte `size`.

    Raises:
        FrameError: the length of a blob or of a blob header is out of range, a blob header is damaged, or the file ends
            inside a blob or a blob header.
    """
    place = file.tell()
    while place < size:
        length = int.from_bytes(_read(file, 4, place, size), "big")
        if not 0 < length <= MAX_HEADER_BYTES:
            raise FrameError(f"a blob header of {length} bytes at byte {place}")
        blob_type, blob_size = parse_blob_header(_read(file, length, place, size))
        start = place + 4 + length
        if not 0 <= blob_size <= MAX_BLOB_BYTES:
            raise FrameError(f"a blob of {blob_size} bytes at byte {start}")
        if start + blob_size > size:
            raise FrameError(f"it ends at byte {size}, inside a blob that should end at byte {start + blob_size}")
        yield Frame(blob_type, start, blob_size)
        place = start + blob_size
        file.seek(place, os.SEEK_SET)


def _check_blob(blob: bytes, frame: Frame) -> None:
    """Checks a zlib-compressed blob by decompressing it. Does nothing for blobs with another compression.

    Raises:
        FrameError: the blob cannot be decompressed, or does not have the declared size after decompression.
    """
    size, packed, place = None, None, 0
    while place < len(blob):
        key, place = _varint(blob, place)
        if key & 7 == 0:
            value, place = _varint(blob, place)
            size = value if key >> 3 == 2 else size
        elif key & 7 == 2:
            length, place = _varint(blob, place)
            if place + length > len(blob):
                raise FrameError(f"a damaged blob at byte {frame.start}")
            packed = (place, place + length) if key >> 3 == 3 else packed
            place += length
        else:
            raise FrameError(f"a damaged blob at byte {frame.start}")
    if packed is None:
        return
    if size is None or not 0 <= size <= MAX_BLOB_BYTES:
        raise FrameError(f"a blob at byte {frame.start} with a decompressed size of {size} bytes")
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(memoryview(blob)[slice(*packed)], size + 1)
    except zlib.error as error:
        raise FrameError(f"a blob at byte {frame.start} that cannot be decompressed: {error}") from None
    if len(unpacked) != size or not unpacker.eof:
        raise FrameError(f"a blob at byte {frame.start} that does not decompress to {size} bytes as declared")


def parse_blob_header(data: bytes) -> tuple[str, int]:
    """Parses a `BlobHeader` message. Returns the type (field 1) and the size (field 3) of the blob that follows.

    Raises:
        FrameError: the bytes are not a `BlobHeader` message.
    """
    blob_type, blob_size, place = None, None, 0
    while place < len(data):
        key, place = _varint(data, place)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
            blob_size = value if field == 3 else blob_size
        elif wire == 2:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise FrameError("a blob header with a field that is longer than the header")
            blob_type = data[place : place + length] if field == 1 else blob_type
            place += length
        else:
            raise FrameError(f"a blob header with a field of wire type {wire}")
    if blob_type is None or blob_size is None:
        raise FrameError("a blob header without type or size")
    return blob_type.decode("ascii", "replace"), blob_size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Decodes a base-128 varint (variable-length integer). Returns the value and the position after the varint."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise FrameError("a truncated blob header")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise FrameError("an integer of more than ten bytes")


def _read(file: BinaryIO, length: int, place: int, size: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise FrameError(f"it ends at byte {size}, inside the blob header that begins at byte {place}")
    return data
