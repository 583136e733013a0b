"""Reads byte ranges of files on a server with HTTP range requests.

Ranges that are close together are read in one request. Received bytes are cached and counted. Failed requests are
repeated, and expired signatures of URLs are renewed.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httpx

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.sources.http import (
    OfflineError,
    RetryPolicy,
    TransientError,
    check_busy,
    describe_error,
    make_client,
    parse_content_range,
    read_body,
    retry,
)
from geojepa_cli.sources.range_cache import RangeCache

HEADER_CHUNK = 1 << 15  # bytes; GDAL reads headers and block tables in many small parts that are close together
MERGE_GAP = 1 << 13  # bytes; reading this gap between two ranges costs less than another request
READ_POLICY = RetryPolicy(attempts=5, pause_s=0.5, max_pause_s=10.0)
FETCH_NAIP = hints.run("fetch", pbf="FILE", name="NAME", imagery="naip")
_FETCH_FOLDER = hints.run("fetch", pbf="FILE", name="NAME", imagery="DIR")
_AGAIN = hints.again()
_REFUSED = {401, 403}

Signer = Callable[[str, str | None], str]


class Traffic(NamedTuple):
    """Network traffic of a `RangeReader`.

    Attributes:
        requests: number of requests sent, including failed ones.
        bytes: bytes of all response bodies.
        header_bytes: bytes of file headers and of tables with the offsets of the TIFF blocks. Included in `bytes`.
        file_bytes: total size in bytes of the files that were opened.
    """

    requests: int
    bytes: int
    header_bytes: int
    file_bytes: int


def unsigned(href: str, refused: str | None = None) -> str:
    """Returns a URL unchanged. Pass this function to `RangeReader` as `sign` if the server needs no signed URLs."""
    return href


class RangeReader:
    """Reads byte ranges of files on a server. Safe to share between threads.

    Args:
        sign: function that returns the signed URL of a file. The arguments are the URL without a signature, and a
            signed URL that the server refused (or None).
        policy: retries and timeouts.
    """

    def __init__(self, sign: Signer = unsigned, policy: RetryPolicy = READ_POLICY) -> None:
        self._sign, self._policy, self._http = sign, policy, make_client(policy)
        # rasterio creates context variables for its openers when it is imported. A short-lived thread must not do that.
        import rasterio  # noqa: F401

        self._lock, self._sign_lock = threading.Lock(), threading.Lock()
        self._cache = RangeCache()
        self._sizes: dict[str, int] = {}
        self._versions: dict[str, str] = {}
        self._requests = self._bytes = self._header_bytes = 0

    def close(self) -> None:
        """Closes the HTTP connections."""
        self._http.close()

    @property
    def traffic(self) -> Traffic:
        """Network traffic of this reader so far."""
        with self._lock:
            return Traffic(self._requests, self._bytes, self._header_bytes, sum(self._sizes.values()))

    def size(self, href: str) -> int:
        """Returns the size of a file in bytes.

        Raises:
            OfflineError: the server cannot be reached, or refuses access.
            DataError: the file is empty, or the server does not support ranges.
        """
        if href not in self._sizes:
            self.read_header(href, 0, 1)
        if href not in self._sizes:
            raise DataError(f"`{href}` is empty", FETCH_NAIP)
        return self._sizes[href]

    def read_header(self, href: str, start: int, length: int) -> bytes:
        """Returns a small range of bytes of a file, usually from the file header or a table of block offsets.

        Requests whole chunks of `HEADER_CHUNK` bytes and caches them, because GDAL usually reads many small ranges that
        are close together.
        """
        first, end = start // HEADER_CHUNK * HEADER_CHUNK, start + length
        last = -(-end // HEADER_CHUNK) * HEADER_CHUNK
        return self._read(href, first, last, header=True)[start - first : end - first]

    def read_ranges(self, href: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Returns the bytes of each range (start, end) of a file. Ranges that are close together share a request.

        Raises:
            OfflineError: the server cannot be reached, or refuses access.
            DataError: the server does not support ranges, or the file changed while it was read.
        """
        found: dict[tuple[int, int], bytes] = {}
        for first, last in merge_ranges(ranges):
            data = self._read(href, first, last)
            for start, end in ranges:
                if first <= start and end <= last:
                    found[start, end] = data[start - first : end - first]
        return [found[wanted] for wanted in ranges]

    def _read(self, href: str, start: int, end: int, header: bool = False) -> bytes:
        """Returns the bytes [start, end) of a file, or fewer if the file ends before `end`.

        Requests only the bytes that are not cached.
        """
        cached = self._cache.find(href, start, end)
        with self._lock:
            end = min(end, self._sizes.get(href, end))
        out, at = io.BytesIO(), start
        for first, data in [*cached, (end, b"")]:
            if at < min(first, end):
                fetched = self._fetch(href, at, min(first, end), header)
                out.write(fetched)
                at += len(fetched)
            if first <= at < first + len(data):
                out.write(data[at - first :])
                at = first + len(data)
        return out.getvalue()[: max(0, end - start)]

    def _fetch(self, href: str, start: int, end: int, header: bool) -> bytes:
        try:
            data = retry(lambda: self._request_signed(href, start, end), self._policy)
        except TransientError as error:
            raise OfflineError(f"`{href}` cannot be read: {error}", _AGAIN) from error
        with self._lock:
            self._header_bytes += len(data) * header
        self._cache.add(href, start, data)
        return data

    def _request_signed(self, href: str, start: int, end: int) -> bytes:
        """Requests a range. If the server refuses the signature, repeats the request once with a new signature."""
        refused = None
        for _ in range(2):
            with self._sign_lock:
                url = self._sign(href, refused)
            data = self._request(href, url, start, end)
            if data is not None:
                return data
            refused = url
        raise OfflineError(f"the server refuses access to `{href}`, even with a new signature", _AGAIN)

    def _request(self, href: str, url: str, start: int, end: int) -> bytes | None:
        """Sends one request for a range and returns the bytes. Returns None if the server refuses the signature."""
        with self._lock:
            self._requests += 1
        try:
            with self._http.stream("GET", url, headers={"Range": f"bytes={start}-{end - 1}"}) as response:
                status = response.status_code
                if status in _REFUSED:
                    return None
                check_busy(response)
                if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return b""
                if not response.is_success:
                    raise DataError(f"`{href}` answered {status} {response.reason_phrase}", FETCH_NAIP)
                stated = parse_content_range(response)
                if status != httpx.codes.PARTIAL_CONTENT or stated is None or stated.start != start or not stated.total:
                    message = f"`{href}` cannot be read: the server does not support HTTP range requests"
                    raise DataError(message, _FETCH_FOLDER)
                self._check_version(href, f"{stated.total} {response.headers.get('etag', '')}", stated.total)
                data = read_body(response, min(end, stated.total) - start)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise DataError(f"`{href}` is not a valid URL: {describe_error(error)}", FETCH_NAIP) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TransientError(describe_error(error)) from error
        with self._lock:
            self._bytes += len(data)
        return data

    def _check_version(self, href: str, version: str, size: int) -> None:
        with self._lock:
            if self._versions.setdefault(href, version) != version:
                raise DataError(f"`{href}` changed while it was read", _AGAIN)
            self._sizes[href] = size


def merge_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorts ranges (start, end), and merges ranges that overlap or are at most `MERGE_GAP` bytes apart."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= MERGE_GAP:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
