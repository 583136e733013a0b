"""Inspection of map extracts."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import Bounds
from geojepa_cli.hints import paste
from geojepa_cli.sources.georeference import meets
from geojepa_cli.sources.pbf import FrameError, count_data_blobs, parse_blob_header
from geojepa_cli.workspace.kinds import legal_name

CHUNK = 1 << 20
HEAD = 4096
OSM_ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright"
_ANOTHER = "geojepa fetch --pbf FILE --name NAME"
_OSMIUM_READS = ("an o5m file",)  # and so can make an extract of it

# beginnings of what people have in the place of an extract -> what it is
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "a SQLite or GeoPackage file"),
    (b"\xff\xe0", "an o5m file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"{", "JSON"),
    (b"Mapsforge", "a Mapsforge map"),
)


class Extract(NamedTuple):
    """A checked extract.

    Attributes:
        path: where it lies.
        suffix: `.osm.pbf`, `.osm`, `.osm.gz` or `.osm.bz2`, by its content.
        sha256: of its bytes.
        bytes: its size.
    """

    path: Path
    suffix: str
    sha256: str
    bytes: int


def inspect_extract(path: Path, meter: Callable[[int, int], None] | None = None) -> Extract:
    """Finds out what an extract is, and that it is whole.

    Args:
        path: a PBF or OSM XML file, the latter also packed by gzip or bzip2; its name does not matter.
        meter: called with (bytes done, bytes in all).

    Raises:
        UsageError: there is no such file.
        DataError: it is empty, truncated, or something else.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UsageError(f"`{path}` {what}", hint=_ANOTHER)
    with path.open("rb") as file:
        head = file.read(HEAD)
    suffix = sniff(path, head)
    if suffix == ".osm.pbf":
        count_data_blobs(path)
    else:
        check_xml(path, suffix)
    return Extract(path, suffix, sha256_of(path, meter), path.stat().st_size)


def sniff(path: Path, head: bytes) -> str:
    """The kind of extract that a file with this beginning is.

    Raises:
        DataError: none; says what it looks like.
    """
    if not head:
        raise DataError(f"`{path}` is empty", hint="download it again")
    if _begins_pbf(head):
        return ".osm.pbf"
    for magic, suffix in ((b"\x1f\x8b", ".osm.gz"), (b"BZh", ".osm.bz2")):
        if head.startswith(magic):
            with _open(path, suffix) as packed:
                _check_root(path, _first_bytes(packed, path))
            return suffix
    _check_root(path, head)
    return ".osm"


def check_xml(path: Path, suffix: str) -> None:
    """Reads an XML extract to its end: it must unpack, hold a node, declare no entity, and end with its closing tag.

    Raises:
        DataError: it does not.
    """
    tail, found = b"", False
    with _open(path, suffix) as file:
        try:
            while chunk := file.read(CHUNK):
                window = tail + chunk
                found = found or b"<node" in window
                if b"<!ENTITY" in window or b"<!DOCTYPE" in window:
                    raise DataError(
                        f"`{path}` declares XML entities, which no OSM file needs: it is not read", _ANOTHER
                    )
                tail = window[-256:]
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"`{path}` does not unpack: {error}", hint="download it again") from error
    if not tail.rstrip().endswith((b"</osm>", b"/>")):
        raise DataError(f"`{path}` is truncated: it does not end with `</osm>`", hint="download it again")
    if not found:
        raise DataError(f"`{path}` holds no data: there is no node in it", hint=_ANOTHER)


def check_box(extract: Extract, bbox: Bounds | None) -> None:
    """Refuses a box that does not meet the one in the extract's header, where it has one.

    Raises:
        DataError: they do not meet; the hint has the extract's.
    """
    if bbox is None:
        return
    box = header_bounds(extract)
    if box is None or meets(box, bbox):
        return
    own = ",".join(f"{value:.4f}" for value in box)
    raise DataError(f"the box lies outside of `{extract.path}`, which holds {own}", hint=f"--bbox={own}")


def header_bounds(extract: Extract) -> Bounds | None:
    """The box in the header of an extract, (west, south, east, north); None where it has none."""
    box = _header_box(extract)
    return _bounds_of(box) if box.valid() else None


def extract_bounds(extract: Extract) -> Bounds:
    """The box of an extract, (west, south, east, north): as its header says, else that of its nodes.

    Raises:
        DataError: it has neither.
    """
    import osmium

    box = _header_box(extract)
    if not box.valid():
        nodes: Iterable[Any] = osmium.FileProcessor(_osm_file(extract), osmium.osm.osm_entity_bits.NODE)
        for node in nodes:
            if node.location.valid():
                box.extend(node.location)
    if not box.valid():
        raise DataError(f"`{extract.path}` has no place", hint="--bbox=WEST,SOUTH,EAST,NORTH")
    return _bounds_of(box)


def format_box(box: Bounds) -> str:
    """A box as `--bbox` takes it."""
    return ",".join(f"{value:.7f}".rstrip("0").rstrip(".") for value in box)


def _osm_file(extract: Extract) -> Any:
    import osmium

    return osmium.io.File(str(extract.path), extract.suffix.removeprefix("."))


def _header_box(extract: Extract) -> Any:
    import osmium

    with osmium.io.Reader(_osm_file(extract), osmium.osm.osm_entity_bits.NOTHING) as reader:
        return reader.header().box()


def _bounds_of(box: Any) -> Bounds:
    return box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat


def _begins_pbf(head: bytes) -> bool:
    length = int.from_bytes(head[:4], "big")
    if not 0 < length <= HEAD:
        return False
    try:
        return parse_blob_header(head[4 : 4 + length])[0] in ("OSMHeader", "OSMData")
    except FrameError:
        return b"\x0a\x09OSM" in head[:12]  # it is one, broken off: the walk over its blobs says where


def _check_root(path: Path, head: bytes) -> None:
    """DataError unless the text is an XML document with `<osm` as its root."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text[:1024].lower()
    if lower.startswith((b"<!doctype html", b"<html")) or b"<html" in lower:
        hint = "the server answered with a page instead of the file; check its address and download it again"
        raise DataError(f"`{path}` is an HTML page", hint=hint)
    if b"<osmchange" in lower:
        raise DataError(f"`{path}` is a file of changes, not an extract", hint="osmium apply-changes")
    if text.startswith(b"<") and b"<osm" in lower:
        return
    for magic, what in _STRANGERS:
        if text.startswith(magic):
            raise DataError(f"`{path}` is {what}, not an OSM extract", hint=_convert(path, what))
    raise DataError(f"`{path}` is neither OSM PBF nor OSM XML", hint=_ANOTHER)


def _convert(path: Path, what: str) -> str:
    """The commands that make an extract of a file that osmium reads, or the one for another file."""
    if not any(word in what for word in _OSMIUM_READS):
        return _ANOTHER
    name = legal_name(path.name.partition(".")[0])
    made = f"{name}-converted.osm.pbf"
    again = paste("geojepa", "fetch", "--pbf", made, "--name", name)
    return f"{paste('osmium', 'cat', str(path), '-o', made)} && {again}"


def _open(path: Path, suffix: str) -> Any:
    if suffix == ".osm.gz":
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if suffix == ".osm.bz2" else path.open("rb")


def _first_bytes(packed: IO[bytes], path: Path) -> bytes:
    try:
        return packed.read(HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` does not unpack: {error}", hint="download it again") from error


def sha256_of(path: Path, meter: Callable[[int, int], None] | None = None) -> str:
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if meter is not None:
                meter(done, size)
    return digest.hexdigest()
