"""Parts of files on a server, as GDAL asks for them: exact byte ranges, neighbours merged, each read once, counted,
tried again, and signed again where a signature has run out.

GDAL opens the file through Python (rasterio's opener) and names all blocks of a window in one call, so that no byte
between them is read; its own network layer reads in chunks of its own, and counts and signs nothing.
"""

from __future__ import annotations

import bisect
import io
import itertools
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.sources.download import TRANSIENT, OfflineError, Patience, client, retry_after, told

HEADER_CHUNK = 1 << 15  # small reads are of headers and indices, which stand together
MERGE_GAP = 1 << 13  # bytes between two ranges that cost less than a request of their own
CACHE_BYTES = 1 << 26
READ_PATIENCE = Patience(tries=5, pause_s=0.5, longest_pause_s=10.0)
_AGAIN, FETCH_ANEW = "geojepa tile", "geojepa fetch --pbf FILE --name NAME --imagery naip"
_WHOLE = "geojepa fetch --pbf FILE --name NAME --imagery DIR"  # of images that were loaded whole
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_REFUSED = {401, 403}
_serial = itertools.count()
_open_files: set[_File] = set()  # GDAL holds pointers to them, which Python does not count

Signer = Callable[[str, str | None], str]


class Traffic(NamedTuple):
    """What was read from servers.

    Attributes:
        requests: sent, those in vain too.
        bytes: of all answers' bodies.
        header_bytes: those of them that hold headers and indices instead of pixels.
        file_bytes: sizes of all files that were opened.
    """

    requests: int
    bytes: int
    header_bytes: int
    file_bytes: int


def unsigned(href: str, refused: str | None = None) -> str:
    """The signer of servers that ask for none."""
    return href


class RangeReader:
    """Reads ranges of files; safe to share between threads.

    Args:
        sign: gives the URL of an href; its second argument is a URL that the server refused, or None.
        patience: with the server.
    """

    def __init__(self, sign: Signer = unsigned, patience: Patience = READ_PATIENCE) -> None:
        self._sign, self._patience, self._http = sign, patience, client(patience)
        # sets the context variables in which it keeps the files of its openers, here rather than in a passing thread
        import rasterio  # noqa: F401

        self._lock, self._sign_lock = threading.Lock(), threading.Lock()
        self._parts: dict[str, _Parts] = {}
        self._recent: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._held = 0
        self._sizes: dict[str, int] = {}
        self._versions: dict[str, str] = {}
        self._requests = self._bytes = self._header_bytes = 0

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @property
    def traffic(self) -> Traffic:
        """What was read so far."""
        with self._lock:
            return Traffic(self._requests, self._bytes, self._header_bytes, sum(self._sizes.values()))

    def size(self, href: str) -> int:
        """The file's length in bytes."""
        if href not in self._sizes:
            self.read_header(href, 0, 1)
        if href not in self._sizes:
            raise DataError(f"`{href}` is empty", hint=FETCH_ANEW)
        return self._sizes[href]

    def read_header(self, href: str, start: int, length: int) -> bytes:
        """A small part, read with what stands around it."""
        first, end = start // HEADER_CHUNK * HEADER_CHUNK, start + length
        last = -(-end // HEADER_CHUNK) * HEADER_CHUNK
        return self._read(href, first, last, header=True)[start - first : end - first]

    def read_ranges(self, href: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges (start, end), those that nearly touch in one request.

        Raises:
            OfflineError: the server cannot be reached, or refuses.
            DataError: it knows no ranges, or the file changed between two of them.
        """
        found: dict[tuple[int, int], bytes] = {}
        for first, last in merge(ranges):
            data = self._read(href, first, last)
            for start, end in ranges:
                if first <= start and end <= last:
                    found[start, end] = data[start - first : end - first]
        return [found[wanted] for wanted in ranges]

    def _read(self, href: str, start: int, end: int, header: bool = False) -> bytes:
        """[start, end), of which only what is not at hand is asked for; shorter at the end of the file."""
        with self._lock:
            held = self._parts.setdefault(href, _Parts()).between(start, end)
            for first, _ in held:
                self._recent.move_to_end((href, first))
            end = min(end, self._sizes.get(href, end))
        out, place = io.BytesIO(), start
        for first, data in [*held, (end, b"")]:
            if place < min(first, end):
                fetched = self._fetch(href, place, min(first, end), header)
                out.write(fetched)
                place += len(fetched)
            if place < first + len(data) and place >= first:
                out.write(data[place - first :])
                place = first + len(data)
        return out.getvalue()[: max(0, end - start)]

    def _fetch(self, href: str, start: int, end: int, header: bool) -> bytes:
        data = self._patiently(href, start, end)
        with self._lock:
            self._header_bytes += len(data) * header
            if data and self._parts[href].add(start, data):
                self._recent[href, start] = len(data)
                self._held += len(data)
            while self._held > CACHE_BYTES and len(self._recent) > 1:
                (other, first), size = self._recent.popitem(last=False)
                self._parts[other].remove(first)
                self._held -= size
        return data

    def _patiently(self, href: str, start: int, end: int) -> bytes:
        failed, refused = 0, None
        while True:
            with self._sign_lock:
                url = self._sign(href, refused)
            try:
                data = self._ask(href, url, start, end)
                if data is not None:
                    return data
                if refused is not None:
                    raise OfflineError(f"`{href}` is refused, although it was signed again", hint=_AGAIN)
                refused = url
            except _BrokenError as error:
                failed += 1
                if failed >= self._patience.tries:
                    raise OfflineError(f"`{href}` cannot be read: {error}", hint=_AGAIN) from error
                pause = self._patience.pause_s * 2 ** (failed - 1) if error.wait_s is None else error.wait_s
                time.sleep(min(pause, self._patience.longest_pause_s))

    def _ask(self, href: str, url: str, start: int, end: int) -> bytes | None:
        """One request; None where the server refuses the signature."""
        with self._lock:
            self._requests += 1
        try:
            with self._http.stream("GET", url, headers={"Range": f"bytes={start}-{end - 1}"}) as answer:
                code = answer.status_code
                if code in _REFUSED:
                    return None
                if code in TRANSIENT:
                    raise _BrokenError(f"it answered {code} {answer.reason_phrase}", retry_after(answer))
                if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return b""
                if not answer.is_success:
                    raise DataError(f"`{href}` answered {code} {answer.reason_phrase}", hint=FETCH_ANEW)
                match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
                if code != httpx.codes.PARTIAL_CONTENT or match is None or int(match[1]) != start:
                    raise DataError(f"`{href}`: the server sends no ranges", hint=_WHOLE)
                size = int(match[3])
                self._same_version(href, f"{size} {answer.headers.get('etag', '')}", size)
                data = _body(answer, min(end, size) - start)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise DataError(f"`{href}` leads nowhere: {told(error)}", hint=FETCH_ANEW) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _BrokenError(told(error)) from error
        with self._lock:
            self._bytes += len(data)
        if len(data) != min(end, size) - start:
            raise _BrokenError(f"it sent {len(data):,} of {min(end, size) - start:,} bytes")
        return data

    def _same_version(self, href: str, version: str, size: int) -> None:
        with self._lock:
            if self._versions.setdefault(href, version) != version:
                raise DataError(f"`{href}` changed while it was read", hint=_AGAIN)
            self._sizes[href] = size


def _body(answer: httpx.Response, expected: int) -> bytes:
    """An answer's body, of which no more is taken than was asked for: a server might send without end."""
    data = bytearray()
    for chunk in answer.iter_bytes():
        data += chunk
        if len(data) > expected:
            raise _BrokenError(f"it sends more than the {expected:,} bytes that it was asked for")
    return bytes(data)


def merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (start, end) sorted, those joined that overlap or nearly touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= MERGE_GAP:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class RemoteRaster:
    """One file on a server, for rasterio.

    Attributes:
        failure: the first thing that went wrong with it. Whoever reads from the dataset has to look at it after every
            read, since GDAL is told of an error only in part.
    """

    def __init__(self, reader: RangeReader, href: str) -> None:
        self.reader, self.href = reader, href
        self.failure: GeojepaError | None = None

    def dataset(self) -> Any:
        """The opened dataset; its name is the href's own.

        Raises:
            OfflineError, DataError: by the server.
            rasterio.errors.RasterioError: it is no raster.
        """
        import rasterio
        from rasterio.abc import MultiByteRangeResourceContainer

        MultiByteRangeResourceContainer.register(_Container)
        name = self.href.partition("?")[0].rpartition("/")[2]
        # a name of its own for every opening: rasterio keeps its openers by the folder
        path, container = f"remote-{next(_serial)}/{name}", _Container(self, name)
        # of the other drivers, some would follow names in the file to files of this machine
        return rasterio.open(path, driver="GTiff", opener=container)

    def guarded(self, call: Callable[[], Any], instead: Any) -> Any:
        """Keeps what goes wrong for later: GDAL calls from C, through which no exception passes. What failed once is
        not tried again, though GDAL asks for more before it gives up."""
        if self.failure is not None:
            return instead
        try:
            return call()
        except GeojepaError as error:
            self.failure = self.failure or error
        except Exception as error:
            self.failure = self.failure or DataError(f"`{self.href}` cannot be read: {error}")
        return instead


class _BrokenError(Exception):
    """A request that failed in a way that another one may mend."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Parts:
    """What is at hand of a file: pieces sorted by where they begin."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._data: dict[int, bytes] = {}

    def between(self, start: int, end: int) -> list[tuple[int, bytes]]:
        """The pieces that share a byte with [start, end)."""
        first = max(0, bisect.bisect_right(self._starts, start) - 1)
        found = []
        for place in self._starts[first:]:
            if place >= end:
                break
            if place + len(self._data[place]) > start:
                found.append((place, self._data[place]))
        return found

    def add(self, start: int, data: bytes) -> bool:
        """False where a piece begins there already."""
        if start in self._data:
            return False
        bisect.insort(self._starts, start)
        self._data[start] = data
        return True

    def remove(self, start: int) -> None:
        self._starts.remove(start)
        del self._data[start]


class _Container:
    """The folder in which GDAL looks: it holds one file."""

    def __init__(self, raster: RemoteRaster, name: str) -> None:
        self._raster, self._name = raster, name

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:
        if not self.isfile(path):
            raise FileNotFoundError(path)  # GDAL looks for masks and overviews beside every file
        file = _File(self._raster)
        _open_files.add(file)
        return file

    def isfile(self, path: str) -> bool:
        return path.rpartition("/")[2] == self._name

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise PermissionError(path)

    def size(self, path: str) -> int:
        if not self.isfile(path):
            raise FileNotFoundError(path)
        size: int = self._raster.guarded(lambda: self._raster.reader.size(self._raster.href), 0)
        return size


class _File:
    """A file as GDAL reads it. A failed read is an empty one to GDAL, which then ends with an error of its own."""

    def __init__(self, raster: RemoteRaster) -> None:
        self._raster, self._reader, self._href, self._place = raster, raster.reader, raster.href, 0

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        _open_files.discard(self)

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        size = self._raster.guarded(lambda: self._reader.size(self._href), 0) if whence == io.SEEK_END else 0
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: size}[whence]
        return self._place

    def read(self, length: int = -1) -> bytes:
        data: bytes = self._raster.guarded(lambda: self._read(length), b"")
        self._place += len(data)
        return data

    def _read(self, length: int) -> bytes:
        end = self._reader.size(self._href) if length < 0 else self._place + length
        if end - self._place < HEADER_CHUNK:
            return self._reader.read_header(self._href, self._place, end - self._place)
        return self._reader.read_ranges(self._href, [(self._place, end)])[0]

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        ranges = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
        # bytes of the right number, so that rasterio copies none that are not there; `failure` tells that they are none
        nothing = [bytes(size) for size in sizes]
        found: list[bytes] = self._raster.guarded(lambda: self._whole(ranges), nothing)
        return found

    def _whole(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        found = self._reader.read_ranges(self._href, ranges)
        if any(len(data) != end - start for data, (start, end) in zip(found, ranges, strict=True)):
            raise DataError(f"`{self._href}` is truncated: it ends before its pixels do", hint=FETCH_ANEW)
        return found
