"""The explorer's server without a browser: token, host, paths, bad input, hostile tags, simultaneous requests."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explorer_pages import HOSTILE, served, synthetic_api

from geojepa_cli.console import printable
from geojepa_cli.errors import GeojepaError
from geojepa_cli.pages.explorer.api import Api
from geojepa_cli.pages.explorer.server import ExplorerServer

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return synthetic_api(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[ExplorerServer]:
    with served(api) as running:
        yield running


def ask(
    server: ExplorerServer, path: str, body: object = None, method: str | None = None, **headers: str | None
) -> Answer:
    """Sends a request with a path as it is; returns status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Host": f"127.0.0.1:{server.port}", "Content-Type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method or ("GET" if data is None else "POST"), path, skip_host=True)
    for name, value in named.items():
        if value is not None:
            connection.putheader(name, value)
    if data is not None and "Content_Length" not in headers:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def get(server: ExplorerServer, path: str) -> Answer:
    return ask(server, f"/{server.token}/{path}")


def post(server: ExplorerServer, path: str, body: object) -> Answer:
    return ask(server, f"/{server.token}/{path}", body)


def search(server: ExplorerServer, question: dict[str, Any], **options: Any) -> tuple[dict[str, Any], np.ndarray]:
    status, _, body = post(server, "api/search", {"question": question, **options})
    assert status == 200, body
    length = int.from_bytes(body[:4], "little")
    return json.loads(body[4 : 4 + length]), np.frombuffer(body[4 + length :], "<i2")


def tile_query(api: Api, number: int = 0) -> dict[str, Any]:
    return {"query": {"kind": "tile", "tile": api.explorer.places.tile_name(number)}}


@pytest.mark.parametrize("path", ["/", "/api/about", "/wrong/", "/wrong/api/about", "//api/about", "/assets/main.js"])
def test_a_request_without_the_token_is_refused(server: ExplorerServer, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 403 and b"token" in body


def test_the_token_is_long_random_and_compared_whole(server: ExplorerServer, api: Api) -> None:
    assert len(server.token) >= 32
    assert ask(server, f"/{server.token[:-1]}/api/about")[0] == 403
    with served(api) as other:
        assert other.token != server.token


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "8.8.8.8", "", "[", None]
)
def test_another_host_header_is_refused(server: ExplorerServer, host: str | None) -> None:
    status, _, body = ask(server, f"/{server.token}/api/about", Host=host)
    assert status in (400, 421) and b"regions" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_allowed_as_host(server: ExplorerServer, host: str) -> None:
    assert ask(server, f"/{server.token}/api/about", Host=host)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "../server.py",
        "assets/../server.py",
        "assets/%2e%2e/server.py",
        "assets/..%2fserver.py",
        "assets//etc/passwd",
        "/etc/passwd",
        "assets/",
        "assets",
        "vendor/LICENSE-maplibre-gl.txt",
        "api/image/..",
        "api/map/0/../../about",
        "api/nothing",
    ],
)
def test_only_known_files_are_served(server: ExplorerServer, path: str) -> None:
    status, _, body = get(server, path)
    assert status == 404 and b"import" not in body and b"root:" not in body


def test_the_page_forbids_everything_from_elsewhere(server: ExplorerServer) -> None:
    status, headers, body = get(server, "")
    policy = headers["content-security-policy"]
    assert status == 200 and b"<title>" in body
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_a_base_map_is_the_only_other_host_that_the_page_may_ask(api: Api) -> None:
    other = Api(api.explorer, replace(api.about, basemap="https://tiles.example:8443/{z}/{x}/{y}.png"))
    with served(other) as running:
        policy = get(running, "")[1]["content-security-policy"]
    assert policy.count("https://tiles.example:8443") == 2 and "/{z}" not in policy


def test_the_address_without_the_last_slash_leads_to_the_page(server: ExplorerServer) -> None:
    status, headers, _ = ask(server, f"/{server.token}")
    assert status == 308 and headers["location"] == f"/{server.token}/"


def test_a_head_request_has_no_body(server: ExplorerServer) -> None:
    status, headers, body = ask(server, f"/{server.token}/api/about", method="HEAD")
    assert status == 200 and int(headers["content-length"]) > 0 and body == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"null",
        b'{"question": {}}',
        b'{"question": {"query": {"kind": "other"}}}',
        b'{"question": {"query": {"kind": "tile"}}}',
        b'{"question": {"query": {"kind": "tile", "tile": "../../etc"}}}',
        b'{"question": {"query": {"kind": "tile", "tile": "16_1_2"}}}',
        b'{"question": {"query": {"kind": "tile", "tile": "16_1_2", "more": 1}}}',
        b'{"question": {"query": {"kind": "entity", "entity": "way/1e9"}}}',
        b'{"question": {"query": {"kind": "entity", "entity": "way/999999999999"}}}',
        b'{"question": {"query": {"kind": "text", "text": ""}}}',
        b'{"question": {"query": {"kind": "text", "text": "a"}, "bad": ["16_1_2"]}}',
        b'{"question": {"query": {"kind": "area", "ring": [[0, 0], [1, 1]]}}}',
        b'{"question": {"query": {"kind": "area", "ring": [[0, 0], [1, 1], [0, 1]]}}}',
        b'{"question": {"query": {"kind": "area", "ring": [[0, 0], [1, 1], [0, NaN]]}}}',
        b'{"question": {"query": {"kind": "area", "ring": [[0, 0], [1e99, 1], [0, 1]]}}}',
        b'{"question": {"good": ["16_1_2"], "weight": 99}}',
        b'{"question": {"good": ["way/1"]}, "k": 0}',
        b'{"question": {"good": ["16_18048_25956", "way/1"]}}',
    ],
)
def test_wrong_requests_are_answered_with_a_reason(server: ExplorerServer, body: bytes) -> None:
    status, _, answer = post(server, "api/search", body)
    assert status in (400, 404), answer
    assert json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("api/entities", {"tiles": []}),
        ("api/entities", {"tiles": [10**6]}),
        ("api/entities", {"tiles": [-1]}),
        ("api/entities", {"tiles": [0] * 25}),
        ("api/entity-colours", {"tiles": [10**6]}),
        ("api/entity-colours", {"tiles": [0], "question": {"query": {"kind": "tile", "tile": "x"}}}),
        ("api/about", {}),
    ],
)
def test_wrong_requests_for_entities_are_answered_with_a_reason(
    server: ExplorerServer, path: str, body: object
) -> None:
    status, _, answer = post(server, path, body)
    assert status in (400, 404) and json.loads(answer)["error"]


@pytest.mark.parametrize("path", ["api/image/999999", "api/map/999999", "api/image/1", "api/map/0?highlight=%3Cscript"])
def test_pictures_that_do_not_exist_are_errors(server: ExplorerServer, path: str) -> None:
    assert get(server, path)[0] in (400, 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content_Length": str(1 << 30)}, 413), ({"Content_Length": "-5"}, 411), ({"Content_Type": "text/plain"}, 415)],
)
def test_large_or_odd_bodies_are_not_read(server: ExplorerServer, headers: dict[str, str], status: int) -> None:
    assert ask(server, f"/{server.token}/api/search", b"{}", **headers)[0] == status


def test_hostile_tags_arrive_as_plain_text(server: ExplorerServer, api: Api) -> None:
    answer, _ = search(server, {"query": {"kind": "text", "text": "building=*"}}, k=100)
    tags = {tag for one in answer["results"] for tag in one["tags"]}
    assert f"building={printable(HOSTILE)}" in tags  # JSON, which the page sets as text
    assert not any("\u202e" in tag for tag in tags)
    for one in answer["results"]:
        status, headers, svg = get(server, f"api/map/{one['id']}")
        assert status == 200 and headers["content-type"] == "image/svg+xml" and b"<img" not in svg


def test_the_grid_has_every_tile_once_in_the_order_of_the_scores(server: ExplorerServer, api: Api) -> None:
    about = json.loads(get(server, "api/about")[2])
    n = about["tiles"]
    body = get(server, "api/tiles")[2]
    x, y = np.frombuffer(body, "<u4", 2 * n).reshape(2, n)
    z = np.frombuffer(body, "u1", n, 8 * n)
    names = [f"{a}_{b}_{c}" for a, b, c in zip(z, x, y, strict=True)]
    assert names == [
        one.vectors.tile_name(row) for one in api.explorer.places.regions for row in range(one.vectors.n_tiles)
    ]
    assert [one["last"] - one["first"] for one in about["regions"]] == [
        one.vectors.n_tiles for one in api.explorer.places.regions
    ]
    answer, scores = search(server, tile_query(api))
    assert len(scores) == n and scores[0] == 32767
    for result in answer["results"]:
        assert names[result["id"]] == result["tile"]
        assert abs(scores[result["id"]] / 32767 - result["score"]) < 1e-3


def test_an_image_is_served_where_the_region_has_one(server: ExplorerServer, api: Api) -> None:
    answer, _ = search(server, tile_query(api), k=100)
    assert {one["has_image"] for one in answer["results"] if one["region"] == "first"} == {True, False}
    for one in answer["results"]:
        status, headers, body = get(server, f"api/image/{one['id']}")
        assert (status == 200) == one["has_image"]
        assert status != 200 or (headers["content-type"] == "image/webp" and body[8:12] == b"WEBP")


def test_entities_have_one_colour_each(server: ExplorerServer, api: Api) -> None:
    tiles = [0, 3, len(api.explorer.places) - 1]
    found = json.loads(post(server, "api/entities", {"tiles": tiles})[2])
    counts = [len(found[str(tile)]) for tile in tiles]
    assert counts == [len(api.explorer.places.entities_of_tile(tile)) for tile in tiles] and min(counts) > 0
    plain = post(server, "api/entity-colours", {"tiles": tiles})[2]
    asked = post(server, "api/entity-colours", {"tiles": tiles, "question": tile_query(api)})[2]
    assert len(plain) == 3 * sum(counts) and len(asked) == 2 * sum(counts)


def test_requests_at_the_same_time_get_their_own_answers(server: ExplorerServer, api: Api) -> None:
    numbers = list(range(24))
    alone = [search(server, tile_query(api, number))[0]["results"] for number in numbers]
    start = threading.Barrier(8)

    def one(number: int) -> Any:
        if number < 8:
            start.wait(timeout=20)
        return search(server, tile_query(api, number))[0]["results"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, numbers)) == alone


def test_one_connection_serves_several_requests(server: ExplorerServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(3):
        connection.request("GET", f"/{server.token}/api/about")
        assert json.loads(connection.getresponse().read())["tiles"] > 0
    connection.close()


def test_a_port_in_use_is_a_clear_error(server: ExplorerServer) -> None:
    with pytest.raises(GeojepaError, match=f"port {server.port}: address already in use") as error:
        ExplorerServer(port=server.port)
    assert "--port 0" in str(error.value.hint)


def test_a_stopped_server_gives_its_port_back(api: Api) -> None:
    with served(api) as running:
        port = running.port
    with served(api):
        again = ExplorerServer(port=port)
        again.stop()
