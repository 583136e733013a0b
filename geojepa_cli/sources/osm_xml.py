"""Inspects OSM XML files: reads the header, finds the bounds, and checks that the file is complete.

A file is read in blocks. Its compression ratio, the length of its XML tags and the depth of nested elements are
limited, so that a malicious file cannot exhaust memory or time. Usually, only the part before the first node, way or
relation is parsed as XML. If the bounds must be computed from coordinates, the whole file is parsed. The program
`geojepa-tiler` reads the map data later.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple
from xml.parsers import expat

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import Bounds

ANOTHER_EXTRACT = hints.run("fetch", pbf="FILE", name="NAME")
DOWNLOAD_AGAIN = hints.advice("download it again")
# this query also returns the nodes of ways and relations
OVERPASS_STATEMENT = hints.advice("ask Overpass with `out body; >; out skel qt;`")
OBJECTS = ("node", "way", "relation")

_PIECE = 1 << 20  # bytes; block size, and maximum length of an XML tag, attribute or comment
_HEADER = 4 << 20  # bytes; maximum size of the part before the first node, way or relation
_DEPTH = 16  # maximum depth of nested elements
_FREE = 64 << 20  # bytes; any compressed file may decompress to this size
_RATIO = 100  # maximum compression ratio of larger files; OSM XML reaches 10 to 30
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0", b"\0<")
_POSITION = re.compile(rb"<(?:node|nd|member)\b[^>]*\blat\s*=")


class Header(NamedTuple):
    """The part of an OSM XML file before its first node, way or relation.

    Attributes:
        root: name of the root element; None if the file ends before it.
        version: attribute `version` of the root element, which is the version of OSM XML.
        generator: attribute `generator` of the root element.
        boxes: bounding boxes of all `<bounds>` elements, (west, south, east, north) in degrees, west <= east. A
            bounding box that crosses the antimeridian is split into two.
        closed: True if the root element ends without a node, way or relation.
    """

    root: str | None
    version: str | None
    generator: str
    boxes: tuple[Bounds, ...]
    closed: bool


def read_header(path: Path, suffix: str) -> Header:
    """Parses an OSM XML file up to its first node, way or relation.

    Args:
        path: path of the file.
        suffix: format of the file: `.osm`, `.osm.gz` or `.osm.bz2`.

    Raises:
        DataError: the file cannot be decompressed; or the XML is not well-formed, is nested too deeply, has too long
            tags, or declares XML entities.
    """
    parser = _HeaderParser(path)
    for piece in _pieces(path, suffix):
        if parser.feed(piece):
            break
    return parser.header()


def first_bytes(path: Path, suffix: str) -> bytes:
    """Returns the first block of the decompressed content of a file.

    Raises:
        DataError: the file cannot be decompressed.
    """
    return next(_pieces(path, suffix), b"")


def check_whole(path: Path, suffix: str, header: Header) -> None:
    """Reads a file to its end and checks that it is complete.

    Raises:
        DataError: the file cannot be decompressed, contains no element with coordinates, or does not end with `</osm>`.
    """
    tail, found = b"", False
    for piece in _in_utf8(_pieces(path, suffix)):
        window = tail + piece
        if b">" not in piece and len(piece) == _PIECE:
            raise _too_long(path)
        found = found or _POSITION.search(window) is not None
        tail = window[-_PIECE:]
    if not header.closed and not re.search(rb"</osm\s*>\Z", _without_comments(tail)):
        raise DataError(f"`{path}` is truncated: it does not end with `</osm>`", hint=DOWNLOAD_AGAIN)
    if not found:
        hint = OVERPASS_STATEMENT if header.generator.startswith("Overpass") else ANOTHER_EXTRACT
        raise DataError(f"`{path}` has no data: expected nodes, or other elements with coordinates", hint=hint)


def box_of_positions(path: Path, suffix: str) -> Bounds | None:
    """Returns the bounds of all positions in an OSM XML file; None if the file has no position.

    Nodes have positions. In some files, the `<nd>` elements of ways and the members of relations have positions too.

    Raises:
        DataError: the file cannot be decompressed; or the XML is not well-formed, is nested too deeply, has too long
            tags, or declares XML entities.
    """
    extent = Extent()

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if name in ("node", "nd", "member"):
            try:
                extent.add(float(attributes["lon"]), float(attributes["lat"]))
            except (KeyError, ValueError):
                return

    parser = _BoundedParser(path, start)
    for piece in _pieces(path, suffix):
        parser.feed(piece)
    return extent.bounds


class Extent:
    """Bounds of positions that are added one by one, in degrees.

    Attributes:
        bounds: (west, south, east, north); None before the first valid position.
    """

    def __init__(self) -> None:
        self.bounds: Bounds | None = None

    def add(self, lon: float, lat: float) -> None:
        """Extends the bounds to a position. Ignores a position beyond ±180° longitude or ±90° latitude."""
        if abs(lon) <= 180 and abs(lat) <= 90:
            west, south, east, north = self.bounds or (lon, lat, lon, lat)
            self.bounds = (min(west, lon), min(south, lat), max(east, lon), max(north, lat))


class _BoundedParser:
    """An XML parser (Expat) that rejects deep nesting, very long XML tags, and declarations of XML entities.

    Args:
        path: path of the file, for messages.
        start: function that is called with the name and the attributes of every XML element.
    """

    def __init__(self, path: Path, start: Callable[[str, Mapping[str, str]], None]) -> None:
        self.path = path
        self.depth = 0
        self._start = start
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._on_end
        self._parser.StartDoctypeDeclHandler = self._on_doctype

    def feed(self, piece: bytes) -> None:
        """Parses the next block of the file.

        Raises:
            DataError: the XML is not well-formed, is nested too deeply, has too long tags, or declares XML entities.
        """
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, False)
        except expat.ExpatError as error:
            raise DataError(f"`{self.path}` is not well-formed XML: {error}", hint=DOWNLOAD_AGAIN) from None
        if self._fed - max(self._parser.CurrentByteIndex, 0) > 2 * _PIECE:
            raise _too_long(self.path)

    def _on_start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEPTH:
            raise DataError(f"`{self.path}` nests XML elements more than {_DEPTH} deep", ANOTHER_EXTRACT)
        self._start(name, attributes)

    def _on_end(self, name: str) -> None:
        self.depth -= 1

    def _on_doctype(self, name: str, system: str | None, public: str | None, subset: bool) -> None:
        if system or public or subset:
            raise DataError(f"`{self.path}` declares XML entities, which are not allowed in OSM files", ANOTHER_EXTRACT)


class _HeaderParser(_BoundedParser):
    def __init__(self, path: Path) -> None:
        super().__init__(path, self._on_element)
        self._root: str | None = None
        self._attributes: Mapping[str, str] = {}
        self._boxes: list[Bounds] = []
        self._object = False

    def feed(self, piece: bytes) -> bool:  # type: ignore[override]
        """Parses the next block of the file. Returns True if the header ends in this block."""
        super().feed(piece)
        if self._fed > _HEADER and not self._object:
            message = f"`{self.path}` has no node, way or relation in its first {_HEADER >> 20} MiB"
            raise DataError(message, ANOTHER_EXTRACT)
        return self._object

    def header(self) -> Header:
        get = self._attributes.get
        closed = self._root is not None and self.depth == 0
        return Header(self._root, get("version"), get("generator", ""), tuple(self._boxes), closed)

    def _on_element(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._root is None:
            self._root, self._attributes = name, dict(attributes)
        elif self.depth == 2 and name in OBJECTS:
            self._object = True
        elif self.depth == 2 and name == "bounds" and not self._object:
            self._boxes += boxes_of(attributes)


def boxes_of(attributes: Mapping[str, str]) -> list[Bounds]:
    """Returns the bounding box of a `<bounds>` element; two boxes if it crosses the antimeridian.

    Returns an empty list if the bounding box is invalid.
    """
    try:
        west, south, east, north = (float(attributes[name]) for name in ("minlon", "minlat", "maxlon", "maxlat"))
    except (KeyError, ValueError):
        return []
    return split_box((west, south, east, north))


def split_box(box: Bounds) -> list[Bounds]:
    """Splits a bounding box that crosses the antimeridian into two, so that west <= east.

    Returns an empty list if a coordinate is out of range.
    """
    west, south, east, north = box
    if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= north <= 90):
        return []
    return [box] if west <= east else [(west, south, 180.0, north), (-180.0, south, east, north)]


def _pieces(path: Path, suffix: str) -> Iterator[bytes]:
    """Yields the decompressed content of a file in blocks of `_PIECE` bytes. The last block may be shorter.

    Raises:
        DataError: the file cannot be decompressed, or exceeds the maximum compression ratio.
    """
    done = 0
    try:
        with path.open("rb") as packed, _unpacked(packed, suffix) as file:
            while piece := file.read(_PIECE):
                done += len(piece)
                if suffix != ".osm" and done > max(_FREE, _RATIO * packed.tell()):
                    what = f"its first {packed.tell():,} bytes contain {done >> 20:,} MiB of XML"
                    unpack = hints.shell("gunzip" if suffix == ".osm.gz" else "bunzip2", "--keep", str(path))
                    raise DataError(f"`{path}` decompresses to more than {_RATIO} times its size: {what}", hint=unpack)
                yield piece
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` cannot be decompressed: {error}", hint=DOWNLOAD_AGAIN) from error


def _unpacked(packed: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".osm.gz":
        return gzip.GzipFile(fileobj=packed)  # type: ignore[return-value]
    return bz2.BZ2File(packed) if suffix == ".osm.bz2" else packed  # type: ignore[return-value]


def _in_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Converts blocks of UTF-16 to UTF-8, so that XML tags can be found as ASCII text.

    Yields blocks in other encodings unchanged.
    """
    decoder = None
    for number, piece in enumerate(pieces):
        if number == 0 and piece.startswith(_UTF16):
            little = piece.startswith((codecs.BOM_UTF16_LE, b"<\0"))
            decoder = codecs.getincrementaldecoder("utf-16-le" if little else "utf-16-be")("replace")
        yield decoder.decode(piece).encode() if decoder else piece


def _without_comments(tail: bytes) -> bytes:
    """Removes comments and processing instructions at the end of an XML document."""
    while True:
        tail = tail.rstrip()
        for begin, end in ((b"<!--", b"-->"), (b"<?", b"?>")):
            if tail.endswith(end) and begin in tail:
                tail = tail[: tail.rindex(begin)]
                break
        else:
            return tail


def _too_long(path: Path) -> DataError:
    return DataError(f"`{path}` has an XML tag, attribute or comment of more than {_PIECE >> 20} MiB", ANOTHER_EXTRACT)
