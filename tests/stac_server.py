"""A real HTTP server that behaves as the STAC API of the Planetary Computer, with faults on request.

It finds recorded items, serves images by ranges, and may require signatures.
"""

from __future__ import annotations

import copy
import json
import re
import urllib.parse
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import rasterio
import yaml
from local_server import listen
from rasterio.warp import transform_bounds, transform_geom

API = "/api/stac/v1"
Item = dict[str, Any]


@dataclass
class Range:
    """A range that was sent: path, first byte, byte after the last one, and number of bytes."""

    path: str
    start: int
    end: int
    sent: int


@dataclass
class Planetary:
    """The running server.

    Attributes:
        url: of the STAC API.
        root: of the server.
        items: that the search finds.
        files: path -> content.
        ranges: that were sent.
        requests: of files, including failed ones.
        statuses: path -> status codes of its next responses, without bytes.
        cuts: path -> number of next responses whose connection is cut after half of the bytes.
        searches: bodies of POST requests.
        signature: required as `?sig=` for files.
        whole: ranges are ignored, and files sent whole.
        redirects: path -> target.
        endless: paths whose responses continue after the range, up to 64 MiB.
        circles: every page of a search links to the first one.
    """

    url: str = ""
    root: str = ""
    items: list[Item] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: list[Range] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    statuses: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    cuts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    searches: list[dict[str, Any]] = field(default_factory=list)
    signature: str | None = None
    whole: bool = False
    redirects: dict[str, str] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    circles: bool = False

    def add(self, path: Path, template: Item, name: str | None = None, date: str | None = None) -> str:
        """Serves a GeoTIFF, and adds a recorded item that points to it; returns its URL."""
        item = copy.deepcopy(template)
        place = f"/naip/{path.name}"
        with rasterio.open(path) as source:
            corners = [source.transform * at for at in ((0, 0), (source.width, 0), (source.width, source.height))]
            corners += [source.transform * (0, source.height), corners[0]]
            ring = {"type": "Polygon", "coordinates": [corners]}
            item["geometry"] = transform_geom(source.crs, "EPSG:4326", ring)
            item["bbox"] = list(transform_bounds(source.crs, "EPSG:4326", *source.bounds))
            item["properties"]["proj:epsg"] = source.crs.to_epsg()
            item["properties"]["gsd"] = source.res[0]
        item["id"] = name or path.stem
        if date is not None:
            item["properties"] |= {"datetime": f"{date}T16:00:00Z", "naip:year": date[:4]}
        item["assets"]["image"]["href"] = self.root + place
        self.items.append(item)
        self.files[place] = path.read_bytes()
        return self.root + place


def recorded(shared: Path, name: str) -> list[Item]:
    """Returns the items of all pages of a recorded response, each once (some searches are recorded twice)."""
    cassette = yaml.safe_load((shared / f"stac/{name}.yaml").read_text(encoding="utf-8"))
    bodies = [json.loads(one["response"]["body"]["string"]) for one in cassette["interactions"]]
    return list({item["id"]: item for body in bodies for item in body["features"]}.values())


@contextmanager
def serve() -> Iterator[Planetary]:
    """Runs a server on a free local port."""
    state = Planetary()
    with listen(_Handler, state) as state.root:
        state.url = state.root + API
        yield state


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Planetary

    def do_GET(self) -> None:
        parsed = urllib.parse.urlsplit(self.path)
        if parsed.path.rstrip("/") == API:
            return self._json(self._landing())
        if parsed.path not in self.state.files:
            self.state.requests.append(parsed.path)
            return self._plain(404)
        query = urllib.parse.parse_qs(parsed.query)
        self.state.requests.append(parsed.path)
        if parsed.path in self.state.redirects:
            return self._send(302, b"", {"Location": self.state.redirects[parsed.path]})
        if self.state.signature is not None and query.get("sig") != [self.state.signature]:
            return self._plain(403)
        if self.state.statuses[parsed.path]:
            return self._plain(self.state.statuses[parsed.path].popleft())
        return self._range(parsed.path, self.state.files[parsed.path])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.searches.append(body)
        if self.path != f"{API}/search":
            return self._plain(404)
        if self.state.statuses["/search"]:
            return self._plain(self.state.statuses["/search"].popleft())
        return self._json(self._search(body))

    def _landing(self) -> dict[str, Any]:
        """Returns a landing page like the real one, which is not recorded."""
        search = {"rel": "search", "type": "application/geo+json", "href": f"{self.state.url}/search"}
        return {
            "type": "Catalog",
            "id": "microsoft-pc",
            "description": "",
            "stac_version": "1.0.0",
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
            "links": [search | {"method": "GET"}, search | {"method": "POST"}],
        }

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a page. The token of the next one is the id of the page's last item, as in the recording."""
        found = [item for item in self.state.items if _meets(item["bbox"], body["bbox"]) and _within(item, body)]
        token = body.get("token", "").removeprefix("next:naip:")
        first = next((i + 1 for i, item in enumerate(found) if item["id"] == token), 0)
        page = found[first : first + body.get("limit", 10)]
        links = [{"rel": "root", "type": "application/json", "href": f"{self.state.url}/"}]
        if first + len(page) < len(found) or self.state.circles:
            more = {**body, "token": f"next:naip:{'' if self.state.circles else page[-1]['id']}"}
            href = f"{self.state.url}/search"
            links.append({"rel": "next", "type": "application/geo+json", "method": "POST", "href": href, "body": more})  # type: ignore[dict-item]
        return {"type": "FeatureCollection", "features": page, "links": links}

    def _range(self, path: str, content: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match is None or self.state.whole:
            return self._send(200, content, {})
        start, end = int(match[1]), min(int(match[2]) + 1, len(content))
        if start >= len(content):
            return self._plain(416)
        sent = Range(path, start, end, 0)
        self.state.ranges.append(sent)
        part = content[start:end]
        if self.state.cuts[path]:
            self.state.cuts[path] -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        sent.sent = len(part)
        about = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}", "Content-Length": str(end - start)}
        if path in self.state.endless:
            return self._send_on(sent, part, about | {"Content-Length": str(1 << 40)})
        self._send(206, part, about)

    def _send_on(self, sent: Range, part: bytes, headers: dict[str, str]) -> None:
        self.close_connection = True
        self._send(206, part, headers)
        while sent.sent < 1 << 26 and self._write(bytes(1 << 16)):
            sent.sent += 1 << 16

    def _json(self, content: dict[str, Any]) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _plain(self, code: int) -> None:
        self._send(code, b"", {})

    def _send(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(content)

    def _write(self, content: bytes) -> bool:
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client closed the connection
            return False
        return True

    def log_message(self, *_: object) -> None:
        pass


def _meets(a: Sequence[float], b: Sequence[float]) -> bool:
    a = [*a[:2], *a[3:5]] if len(a) == 6 else a  # with heights
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _within(item: Item, body: dict[str, Any]) -> bool:
    first, _, last = body.get("datetime", "../..").partition("/")
    when = item["properties"]["datetime"] or item["properties"]["start_datetime"]
    return (first == ".." or when >= first) and (last == ".." or when <= last)
