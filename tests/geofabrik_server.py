"""A real HTTP server that behaves as Geofabrik's, with faults on request.

It serves an index, MD5 files next to the extracts, ranges with `If-Range`, and dates.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import socket
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import listen


@dataclass(frozen=True)
class Fault:
    """Fault of one response.

    Attributes:
        cut_at: the connection is reset at this byte of the file (not of the response).
        status: sent instead of the file.
        retry_after: seconds, sent with `status`.
        length_off: added to the `Content-Length` of a whole file.
        redirect: path of a 302.
        ignore_range: the whole file is sent, whatever range was requested.
        ignore_if_range: the range is sent although the file is another version.
        piece: the response to a range has at most this many bytes, and states it.
        stall_at: nothing is sent from this byte on, for `stall_s`.
        bytes_per_s: of a slow connection.
    """

    cut_at: int | None = None
    status: int | None = None
    retry_after: int | None = None
    length_off: int = 0
    redirect: str | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    piece: int | None = None
    stall_at: int | None = None
    stall_s: float = 1.0
    bytes_per_s: int | None = None


@dataclass
class File:
    """One file of the server. Its MD5 is served next to it unless it is None."""

    content: bytes
    md5: str | None = ""
    etag: str | None = ""
    modified: float = 1_700_000_000.0

    def __post_init__(self) -> None:
        digest = hashlib.md5(self.content).hexdigest()
        self.md5 = digest if self.md5 == "" else self.md5
        self.etag = f'"{digest[:8]}"' if self.etag == "" else self.etag


@dataclass
class Request:
    """One request, and the bytes of the body that were sent."""

    method: str
    path: str
    range: str | None
    if_range: str | None
    sent: int = 0


@dataclass
class Geofabrik:
    """The running server.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        files: path -> file.
        faults: path -> faults of its next responses, one each.
        requests: all requests.
    """

    url: str = ""
    files: dict[str, File] = field(default_factory=dict)
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[Request] = field(default_factory=list)

    def add(self, path: str, content: bytes, **how: Any) -> str:
        """Serves a file; returns its URL."""
        self.files[path] = File(content, **how)
        return self.url + path

    def add_index(self, regions: list[dict[str, Any]], path: str = "/index-v1.json") -> str:
        """Serves an index of features; returns its URL."""
        return self.add(path, json.dumps({"type": "FeatureCollection", "features": regions}).encode())

    def gets(self, path: str) -> list[Request]:
        """The GET requests of a path."""
        return [request for request in self.requests if request.method == "GET" and request.path == path]


def region(
    id_: str, name: str, url: str | None, parent: str | None = None, ring: list[list[float]] | None = None
) -> dict[str, Any]:
    """A feature of an index as Geofabrik writes it, with a geometry (`index-v1.json`) or without (`-nogeom`)."""
    properties: dict[str, Any] = {"id": id_, "name": name, "urls": {"pbf": url} if url else {}}
    place = {"geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}} if ring else {}
    return {"type": "Feature", "properties": properties | ({"parent": parent} if parent else {}), **place}


@contextmanager
def serve() -> Iterator[Geofabrik]:
    """Runs a server on a free local port."""
    state = Geofabrik()
    with listen(_Handler, state) as state.url:
        yield state


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Geofabrik

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def _answer(self, method: str) -> None:
        headers = self.headers
        request = Request(method, self.path, headers.get("Range"), headers.get("If-Range"))
        self.state.requests.append(request)
        faults = self.state.faults[self.path]
        fault = faults.popleft() if faults else Fault()
        if fault.redirect:
            return self._plain(302, {"Location": fault.redirect})
        if fault.status:
            more = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return self._plain(fault.status, more)
        of, is_md5 = self.path.removesuffix(".md5"), self.path.endswith(".md5")
        file = self.state.files.get(self.path) or self.state.files.get(of)
        if file is None or (is_md5 and file.md5 is None):
            return self._plain(404)
        if is_md5 and self.path not in self.state.files:
            file = File(f"{file.md5}  {of.rpartition('/')[2]}\n".encode())
        since = headers.get("If-Modified-Since")
        if since and email.utils.parsedate_to_datetime(since).timestamp() >= file.modified:
            return self._plain(304)
        return self._file(request, file, fault)

    def _plain(self, code: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, request: Request, file: File, fault: Fault) -> None:
        size, modified = len(file.content), email.utils.formatdate(file.modified, usegmt=True)
        start = self._start(request, file, modified, fault)
        if start is not None and start >= size:
            return self._plain(416, {"Content-Range": f"bytes */{size}"})
        end = size if start is None or fault.piece is None else min(size, start + fault.piece)
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - (start or 0) + (fault.length_off if start is None else 0)))
        self.send_header("Last-Modified", modified)
        if file.etag:
            self.send_header("ETag", file.etag)
        self.end_headers()
        if request.method == "GET":
            self._send(request, file.content[:end], start or 0, fault)

    def _start(self, request: Request, file: File, modified: str, fault: Fault) -> int | None:
        """Returns the first byte of the requested range; None where the whole file is to be sent."""
        match = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        if match is None or fault.ignore_range:
            return None
        same = request.if_range in (None, file.etag, modified)
        return int(match[1]) if same or fault.ignore_if_range else None

    def _send(self, request: Request, content: bytes, start: int, fault: Fault) -> None:
        end = len(content) + min(fault.length_off, 0) if start == 0 else len(content)
        stops = [stop for stop in (fault.cut_at, fault.stall_at) if stop is not None]
        for stop in sorted({*(max(start, min(stop, end)) for stop in stops), end}):
            self._write(request, content[start + request.sent : stop], fault)
            if fault.stall_at is not None and stop == max(start, fault.stall_at):
                time.sleep(fault.stall_s)
            if fault.cut_at is not None and stop == max(start, fault.cut_at):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
        if fault.length_off > 0:
            self.close_connection = True

    def _write(self, request: Request, data: bytes, fault: Fault) -> None:
        step = max(1, fault.bytes_per_s // 50) if fault.bytes_per_s else 1 << 16
        try:
            for place in range(0, len(data), step):
                piece = data[place : place + step]
                self.wfile.write(piece)
                request.sent += len(piece)
                if fault.bytes_per_s:
                    time.sleep(len(piece) / fault.bytes_per_s)
        except OSError:
            self.close_connection = True  # the client closed the connection

    def log_message(self, *_: object) -> None:
        pass
