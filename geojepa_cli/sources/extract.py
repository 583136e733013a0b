"""Checks OSM extracts: detects the format of a file, checks that the file is complete, and finds its bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import Bounds
from geojepa_cli.hints import Hint
from geojepa_cli.sources.osm_xml import (
    ANOTHER_EXTRACT,
    DOWNLOAD_AGAIN,
    Extent,
    box_of_positions,
    check_whole,
    first_bytes,
    read_header,
    split_box,
)
from geojepa_cli.sources.pbf import FrameError, count_data_blobs, parse_blob_header
from geojepa_cli.workspace.kinds import legal_name

OSM_ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright"

_CHUNK = 1 << 20
_HEAD = 4096
_LEAST_SIDE_DEG = 1e-4  # minimum side of a bounding box in a hint, about 10 m
_XML_BEGINNINGS = (b"<", b"\xff\xfe", b"\xfe\xff", b"\0<")
_OSMIUM_READS = ("an o5m file",)  # formats that osmium converts to an extract
# first bytes -> description, of files that users may mistake for an extract
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "a SQLite or GeoPackage file"),
    (b"\xff\xe0", "an o5m file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"{", "JSON"),
    (b"Mapsforge", "a Mapsforge map"),
)


class Extract(NamedTuple):
    """An OSM extract that has been checked.

    Attributes:
        path: path of the file.
        suffix: format, detected from the content: `.osm.pbf`, `.osm`, `.osm.gz` or `.osm.bz2`.
        sha256: SHA-256 of the file, in hex.
        bytes: size of the file in bytes.
    """

    path: Path
    suffix: str
    sha256: str
    bytes: int


def inspect_extract(path: Path, meter: Callable[[int, int], None] | None = None) -> Extract:
    """Detects the format of an extract and checks that the file is complete.

    Args:
        path: path of an OSM PBF or OSM XML file. XML may be compressed with gzip or bzip2. The file name is ignored.
        meter: function that is called with (bytes read, size of the file).

    Raises:
        UsageError: the path does not exist or is not a regular file.
        DataError: the file is empty or truncated, or is not an OSM extract.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
        raise UsageError(f"`{path}` {what}", hint=ANOTHER_EXTRACT)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    suffix = find_suffix(path, head)
    if suffix == ".osm.pbf":
        count_data_blobs(path)
    else:
        _check_xml(path, suffix)
    return Extract(path, suffix, sha256_of(path, meter), path.stat().st_size)


def find_suffix(path: Path, head: bytes) -> str:
    """Detects the format of an extract from its first bytes. Returns the file suffix of the format, such as `.osm.pbf`.

    Args:
        path: path of the file.
        head: first bytes of the file.

    Raises:
        DataError: the file is not an OSM extract. The message names the file's format if it is a well-known one.
    """
    if not head:
        raise DataError(f"`{path}` is empty", hint=DOWNLOAD_AGAIN)
    if _begins_pbf(head):
        return ".osm.pbf"
    for magic, suffix in ((b"\x1f\x8b", ".osm.gz"), (b"BZh", ".osm.bz2")):
        if head.startswith(magic):
            _check_begins_xml(path, first_bytes(path, suffix))
            return suffix
    _check_begins_xml(path, head)
    return ".osm"


def check_box(extract: Extract, bbox: Bounds | None) -> None:
    """Checks that a bounding box intersects the area of an extract, which is stated in the extract's header.

    Does nothing if the header states no area.

    Raises:
        DataError: the bounding box does not intersect the area of the extract. The error suggests running the
            failed command again with the bounds of the extract as `--bbox`.
    """
    boxes = header_boxes(extract) if bbox is not None else []
    if bbox is None or not boxes or any(_meets(box, bbox) for box in boxes):
        return
    held = " and ".join(format_box(box) for box in boxes[:3]) + (" and more" if len(boxes) > 3 else "")
    hint = hints.again(bbox=format_box(_around(boxes)))
    raise DataError(f"the bounding box does not intersect `{extract.path}`, which covers {held}", hint=hint)


def header_boxes(extract: Extract) -> list[Bounds]:
    """Returns the bounding boxes in the header of an extract: (west, south, east, north) in degrees, west <= east.

    A file from JOSM has one bounding box for each downloaded area. A bounding box that crosses the antimeridian is
    split into two.
    """
    if extract.suffix != ".osm.pbf":
        return list(read_header(extract.path, extract.suffix).boxes)
    import osmium

    with osmium.io.Reader(_osm_file(extract), osmium.osm.osm_entity_bits.NOTHING) as reader:
        box = reader.header().box()
    return split_box(_bounds_of(box)) if box.valid() else []


def header_bounds(extract: Extract) -> Bounds | None:
    """Returns the bounds that enclose all bounding boxes in the header of an extract.

    Returns None if the header has no bounding box.
    """
    boxes = header_boxes(extract)
    return _around(boxes) if boxes else None


def extract_bounds(extract: Extract) -> Bounds:
    """Returns the bounds of an extract: (west, south, east, north) in degrees.

    The bounds are read from the header. If the header has no bounding box, the bounds are computed from all positions
    in the file.

    Raises:
        DataError: the header has no bounding box, and the file has no position.
    """
    box = header_bounds(extract)
    if box is None and extract.suffix != ".osm.pbf":
        box = box_of_positions(extract.path, extract.suffix)
    elif box is None:
        box = _box_of_pbf(extract)
    if box is None:
        message = f"`{extract.path}` has neither a bounding box nor a position"
        raise DataError(message, hint=hints.again(bbox="WEST,SOUTH,EAST,NORTH"))
    return box


def format_box(box: Bounds) -> str:
    """Formats a bounding box as a value of `--bbox`, with 7 decimals as in OSM.

    A bounding box whose width or height is 0 is enlarged slightly.
    """
    west, south, east, north = box
    if west >= east:
        west, east = max(west - _LEAST_SIDE_DEG, -180.0), min(east + _LEAST_SIDE_DEG, 180.0)
    if south >= north:
        south, north = max(south - _LEAST_SIDE_DEG, -90.0), min(north + _LEAST_SIDE_DEG, 90.0)
    return ",".join(f"{value:.7f}".rstrip("0").rstrip(".") for value in (west, south, east, north))


def sha256_of(path: Path, meter: Callable[[int, int], None] | None = None) -> str:
    """Returns the SHA-256 of a file in hex. Calls `meter` with (bytes read, size of the file)."""
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if meter is not None:
                meter(done, size)
    return digest.hexdigest()


def _check_begins_xml(path: Path, head: bytes) -> None:
    """Checks that the first bytes of a file are the beginning of an XML document.

    Raises:
        DataError: the file is not XML. The message names the file's format if it is a well-known one.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text[:1024].lower()
    if b"<!doctype html" in lower or b"<html" in lower:
        what = "the server sent an HTML page instead of the file; check the URL and download the file again"
        raise DataError(f"`{path}` is an HTML page, not an OSM extract", hint=hints.advice(what))
    for magic, what in _STRANGERS:
        if text.startswith(magic):
            raise DataError(f"`{path}` is {what}, not an OSM extract", hint=_convert(path, what))
    if _begins_pbf(head):
        message = f"`{path}` is a compressed PBF file, expected it uncompressed"
        raise DataError(message, hint=hints.shell("gunzip", "--keep", str(path)))
    if not text.startswith(_XML_BEGINNINGS) and not head.startswith(_XML_BEGINNINGS):
        raise DataError(f"`{path}` is neither OSM PBF nor OSM XML", hint=ANOTHER_EXTRACT)


def _check_xml(path: Path, suffix: str) -> None:
    header = read_header(path, suffix)
    if header.root is None:
        raise DataError(f"`{path}` is truncated: it ends before its first XML element", hint=DOWNLOAD_AGAIN)
    if header.root == "osmChange":
        apply = hints.shell("osmium", "apply-changes", "EXTRACT.osm.pbf", str(path), "-o", "changed.osm.pbf")
        hint = hints.again(pbf="changed.osm.pbf").after(apply)
        raise DataError(f"`{path}` is an osmChange file, not an extract", hint=hint)
    if header.root != "osm":
        message = f"`{path}` is XML with the root element `<{header.root}>`, expected `<osm>`"
        raise DataError(message, hint=ANOTHER_EXTRACT)
    if header.version not in (None, "0.6"):
        raise DataError(f"`{path}` is OSM XML version {header.version}, expected 0.6", hint=ANOTHER_EXTRACT)
    check_whole(path, suffix, header)


def _box_of_pbf(extract: Extract) -> Bounds | None:
    """Returns the bounds of all node positions in a PBF file; None if the file has no position.

    If no node has a position, the node positions that are stored in ways are used.
    """
    import osmium

    bits, extent = osmium.osm.osm_entity_bits, Extent()
    for kind in (bits.NODE, bits.WAY):
        elements: Iterable[Any] = osmium.FileProcessor(_osm_file(extract), kind)
        for element in elements:
            places = [element.location] if kind == bits.NODE else [node.location for node in element.nodes]
            for place in places:
                if place.valid():
                    extent.add(place.lon, place.lat)
        if extent.bounds is not None:
            break
    return extent.bounds


def _osm_file(extract: Extract) -> Any:
    import osmium

    return osmium.io.File(str(extract.path), extract.suffix.removeprefix("."))


def _bounds_of(box: Any) -> Bounds:
    return box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat


def _around(boxes: Sequence[Bounds]) -> Bounds:
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def _meets(a: Bounds, b: Bounds) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _begins_pbf(head: bytes) -> bool:
    length = int.from_bytes(head[:4], "big")
    if not 0 < length <= _HEAD:
        return False
    try:
        return parse_blob_header(head[4 : 4 + length])[0] in ("OSMHeader", "OSMData")
    except FrameError:
        return b"\x0a\x09OSM" in head[:12]  # a truncated PBF; `count_data_blobs` reports the position


def _convert(path: Path, what: str) -> Hint:
    """Returns the hint of the error message for a file that is neither OSM PBF nor OSM XML.

    If osmium can read the file, the hint is two commands: the first converts the file to OSM PBF, and the second passes
    the new file to `geojepa fetch`. Otherwise, the hint is an example of `geojepa fetch` with an OSM extract.
    """
    if what not in _OSMIUM_READS:
        return ANOTHER_EXTRACT
    name = legal_name(path.name.partition(".")[0])
    made = f"{name}-converted.osm.pbf"
    return hints.run("fetch", pbf=made, name=name).after(hints.shell("osmium", "cat", str(path), "-o", made))
