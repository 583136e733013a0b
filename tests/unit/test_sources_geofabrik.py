"""Regions of Geofabrik's index, and downloads that go on where they broke off, against a server of the test's own."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.sources.geofabrik import OfflineError, ask, download, find_region, read_index

CONTENT = bytes(range(256)) * 5000


def feature(id_: str, name: str, parent: str = "") -> dict[str, object]:
    return {"properties": {"id": id_, "name": name, "parent": parent, "urls": {"pbf": f"https://x/{id_}.osm.pbf"}}}


INDEX = {
    "features": [
        feature("europe", "Europe"),
        feature("georgia", "Georgia", "europe"),
        feature("us/georgia", "Georgia (US)", "north-america"),
        feature("us/california", "California", "north-america"),
        feature("us/california/norcal", "Northern California", "us/california"),
        {"properties": {"id": "nopbf", "name": "No PBF", "urls": {}}},
    ]
}


class Server(BaseHTTPRequestHandler):
    """Serves `/whole` with ranges, `/plain` without them, `/wrong` beside a wrong MD5; notes the ranges asked for."""

    ranges: ClassVar[list[str | None]] = []

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.startswith(("/whole", "/plain", "/wrong")) else 404)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path.endswith(".md5"):
            digest = "0" * 32 if "wrong" in self.path else hashlib.md5(CONTENT).hexdigest()
            self._answer(200, f"{digest}  x.osm.pbf\n".encode())
        elif self.path == "/index.json":
            self._answer(200, json.dumps(INDEX).encode())
        elif self.path == "/page":
            self._answer(200, b"<html></html>")
        elif self.path in ("/whole", "/plain", "/wrong"):
            wanted = self.headers.get("Range")
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.path == "/whole" else 0
            if start >= len(CONTENT):
                self._answer(416, b"")
            else:
                self._answer(206 if start else 200, CONTENT[start:])
        else:
            self._answer(404, b"")

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.ranges = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/x"


@pytest.mark.parametrize(
    ("wanted", "id_"),
    [
        ("california", "us/california"), ("us/california", "us/california"), ("California", "us/california"),
        ("georgia", "georgia"), ("us/georgia", "us/georgia"), ("northern california", "us/california/norcal"),
        ("NORCAL", "us/california/norcal"),
    ],
)  # fmt: skip
def test_a_region_is_found_by_id_last_part_and_name(server: str, wanted: str, id_: str) -> None:
    region = find_region(read_index(f"{server}/index.json"), wanted)
    assert region.id == id_
    assert region.url == f"https://x/{id_}.osm.pbf"


def test_an_unknown_region_names_the_nearest(server: str) -> None:
    with pytest.raises(NotFoundError, match="did you mean `california`"):
        find_region(read_index(f"{server}/index.json"), "califronia")


def test_the_index_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(INDEX))
    assert len(read_index(str(path))) == len(read_index(path.as_uri())) == 5


@pytest.mark.parametrize("path", ["/page", "/absent"])
def test_what_is_no_index_is_refused_with_a_hint(server: str, path: str) -> None:
    with pytest.raises((DataError, OfflineError)) as caught:
        read_index(server + path)
    assert caught.value.hint


def test_without_a_server_the_error_says_how_to_go_on(closed_port: str, tmp_path: Path) -> None:
    for call in (
        lambda: read_index(closed_port),
        lambda: ask(closed_port),
        lambda: download(closed_port, tmp_path / "x"),
    ):
        with pytest.raises(OfflineError, match="cannot be reached") as caught:
            call()
        assert "--pbf" in (caught.value.hint or "")


def test_a_download_is_complete_and_compared_with_its_md5(server: str, tmp_path: Path) -> None:
    seen: list[int] = []
    download(f"{server}/whole", tmp_path / "x.osm.pbf", lambda done, total: seen.append(done))
    assert (tmp_path / "x.osm.pbf").read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["x.osm.pbf"]


@pytest.mark.parametrize("length", [1, 700_000, len(CONTENT)])
def test_a_broken_download_goes_on_where_it_stopped(server: str, tmp_path: Path, length: int) -> None:
    (tmp_path / "x.partial").write_bytes(CONTENT[:length])
    download(f"{server}/whole", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert Server.ranges == [f"bytes={length}-"]


def test_a_server_without_ranges_sends_all_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_bytes(CONTENT[:1000])
    download(f"{server}/plain", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_file_that_differs_from_its_md5_is_removed(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MD5"):
        download(f"{server}/wrong", tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_size_and_date_are_asked_without_a_download(server: str) -> None:
    assert ask(f"{server}/whole") == (len(CONTENT), "Mon, 01 Jan 2024 00:00:00 GMT")
    with pytest.raises(OfflineError, match="404"):
        ask(f"{server}/absent")
