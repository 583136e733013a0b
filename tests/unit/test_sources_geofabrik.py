"""Regions of Geofabrik's index: found by the names people use, read from the server, a mirror or a copy."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from geofabrik_server import Fault, File, Geofabrik, region, serve

from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.sources.geofabrik import dated, find_region, local_path, read_index
from geojepa_cli.sources.http import OfflineError, RetryPolicy

QUICK = RetryPolicy(attempts=4, pause_s=0.01, max_pause_s=0.05, timeout_s=2.0)
HOME = "https://download.geofabrik.de"
# ids, names and parents as in Geofabrik's own index
FEATURES = [
    region("europe", "Europe", f"{HOME}/europe-latest.osm.pbf"),
    region("north-america", "North America", f"{HOME}/north-america-latest.osm.pbf"),
    region("georgia", "Georgia", f"{HOME}/europe/georgia-latest.osm.pbf", "europe"),
    region("us", "United States of America", f"{HOME}/north-america/us-latest.osm.pbf", "north-america"),
    region("us/georgia", "us/georgia", f"{HOME}/north-america/us/georgia-latest.osm.pbf", "north-america"),
    region("us/california", "us/california", f"{HOME}/north-america/us/california-latest.osm.pbf", "north-america"),
    region(
        "norcal", "Northern California", f"{HOME}/north-america/us/california/norcal-latest.osm.pbf", "us/california"
    ),
    region("socal", "Southern California", f"{HOME}/north-america/us/california/socal-latest.osm.pbf", "us/california"),
    region("antarctica", "Antarctica", None),
]


@pytest.fixture
def server() -> Iterator[Geofabrik]:
    with serve() as running:
        running.add_index(FEATURES)
        yield running


@pytest.mark.parametrize(
    ("wanted", "id_"),
    [
        ("california", "us/california"), ("us/california", "us/california"), ("California", "us/california"),
        ("georgia", "georgia"), ("us/georgia", "us/georgia"), ("northern california", "norcal"), ("NORCAL", "norcal"),
        ("california/norcal", "norcal"), ("us/california/norcal", "norcal"), ("europe/georgia", "georgia"),
        ("north-america/us/california", "us/california"), ("North America", "north-america"), ("us", "us"),
        ("califor", "us/california"), ("nor", None), ("norc", "norcal"), ("Southern", "socal"), ("united", "us"),
    ],
)  # fmt: skip
def test_a_region_is_found_by_id_path_name_or_prefix(server: Geofabrik, wanted: str, id_: str | None) -> None:
    regions = read_index(f"{server.url}/index-v1.json")
    if id_ is None:
        with pytest.raises(NotFoundError, match=r"norcal|north-america"):
            find_region(regions, wanted)
    else:
        assert find_region(regions, wanted).id == id_


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("califronia", "california"), ("us/califronia", "us/california"), ("norkal", "norcal"), ("antartica", None)],
)
def test_an_unknown_region_names_the_nearest(server: Geofabrik, wanted: str, nearest: str | None) -> None:
    with pytest.raises(NotFoundError, match=f"did you mean `{nearest}`" if nearest else "unknown region") as caught:
        find_region(read_index(f"{server.url}/index-v1.json"), wanted)
    assert caught.value.hint and (nearest is None or str(caught.value.hint).endswith(nearest))


def test_a_prefix_of_several_regions_names_them(server: Geofabrik) -> None:
    with pytest.raises(NotFoundError, match="`nor` matches 2 regions: `norcal`, `north-america`") as caught:
        find_region(read_index(f"{server.url}/index-v1.json"), "nor")
    assert caught.value.hint is not None and caught.value.hint.options == (("--region", "norcal"),)


def test_an_index_with_geometries_has_boxes(server: Geofabrik) -> None:
    ring = [[-10.0, 50.0], [2.0, 50.0], [2.0, 61.5], [-10.0, 50.0]]
    server.add_index([region("a", "A", f"{HOME}/a-latest.osm.pbf", ring=ring), *FEATURES])
    found = {one.id: one.bounds for one in read_index(f"{server.url}/index-v1.json")}
    assert found["a"] == (-10.0, 50.0, 2.0, 61.5) and found["us"] is None


@pytest.mark.parametrize("wanted", ["", "/", "-", "*"])
def test_a_name_without_letters_is_not_a_region(server: Geofabrik, wanted: str) -> None:
    with pytest.raises(NotFoundError):
        find_region(read_index(f"{server.url}/index-v1.json"), wanted)


@pytest.mark.parametrize("url", ["", "/", "/index-v1.json"])
def test_a_mirror_is_named_by_its_index_or_its_folder_and_serves_the_files(server: Geofabrik, url: str) -> None:
    found = find_region(read_index(server.url + url), "norcal")
    assert found.url == f"{server.url}/north-america/us/california/norcal-latest.osm.pbf"
    assert found.path == "north-america/us/california/norcal"


def test_a_local_index_names_the_files_next_to_it_where_they_exist(tmp_path: Path) -> None:
    (tmp_path / "index-v1.json").write_text(json.dumps({"features": FEATURES}))
    (tmp_path / "europe").mkdir()
    (tmp_path / "europe/georgia-latest.osm.pbf").write_bytes(b"x")
    for url in (str(tmp_path), str(tmp_path / "index-v1.json"), (tmp_path / "index-v1.json").as_uri()):
        regions = read_index(url)
        assert local_path(find_region(regions, "georgia").url) == tmp_path / "europe/georgia-latest.osm.pbf"
        assert find_region(regions, "us").url == f"{HOME}/north-america/us-latest.osm.pbf"


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        b"[]",
        b'{"features": [{}]}',
        b'{"features": [{"properties": 3}]}',
        b"[" * 200_000,
    ],
)
def test_other_content_than_an_index_is_refused_with_a_hint(server: Geofabrik, tmp_path: Path, content: bytes) -> None:
    server.add("/index-v1.json", content)
    with pytest.raises(DataError, match="not an index") as caught:
        read_index(server.url, tmp_path)
    assert caught.value.hint
    (tmp_path / "index-v1.json").write_bytes(content)
    with pytest.raises(DataError, match="not an index"):
        read_index(str(tmp_path))


def test_an_absent_index_is_an_error(server: Geofabrik, tmp_path: Path) -> None:
    with pytest.raises(OfflineError, match="404"):
        read_index(f"{server.url}/other/")
    with pytest.raises(DataError, match=r"absent\.json"):
        read_index(str(tmp_path / "absent.json"))


def test_the_index_is_stored_and_downloaded_again_only_when_it_is_newer(server: Geofabrik, tmp_path: Path) -> None:
    assert len(read_index(server.url, tmp_path)) == 8
    assert len(read_index(server.url, tmp_path)) == 8
    assert [request.sent > 0 for request in server.gets("/index-v1.json")] == [True, False]
    newer = json.dumps({"features": FEATURES[:2]}).encode()
    server.files["/index-v1.json"] = File(newer, modified=1_800_000_000)
    assert len(read_index(server.url, tmp_path)) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_request_for_the_index_to_a_busy_server_is_repeated(server: Geofabrik, tmp_path: Path) -> None:
    server.faults["/index-v1.json"].extend([Fault(status=503), Fault(status=429), Fault(cut_at=100)])
    assert len(read_index(server.url, tmp_path, QUICK)) == 8
    assert len(server.gets("/index-v1.json")) == 4


def test_other_content_than_an_index_is_not_stored(server: Geofabrik, tmp_path: Path) -> None:
    """It is newer than the index, so the repaired server would answer that nothing changed."""
    index = server.files["/index-v1.json"]
    server.add("/index-v1.json", b'{"error": "maintenance"}', modified=1_900_000_000)
    for _ in range(2):
        with pytest.raises(DataError, match="not an index"):
            read_index(server.url, tmp_path)
    server.files["/index-v1.json"] = index
    assert len(read_index(server.url, tmp_path)) == 8
    (copy,) = tmp_path.iterdir()
    copy.write_text('{"error": "maintenance"}')  # as earlier versions stored it
    assert len(read_index(server.url, tmp_path)) == 8


def test_a_killed_write_of_the_copy_is_repaired_by_the_next_run(server: Geofabrik, tmp_path: Path) -> None:
    read_index(server.url, tmp_path)
    (copy,) = tmp_path.iterdir()
    content = copy.read_bytes()
    copy.unlink()
    copy.with_name(f"{copy.name}.partial").write_bytes(content[:100])
    assert len(read_index(server.url, tmp_path)) == 8
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x.osm.pbf", "data:,x"])
def test_an_index_on_a_server_cannot_name_local_files(server: Geofabrik, tmp_path: Path, url: str) -> None:
    server.add_index([*FEATURES, region("x", "X", url)])
    with pytest.raises(DataError, match="not the URL of an extract"):
        read_index(server.url, tmp_path)


def test_without_a_server_the_stored_index_is_used_and_its_date_printed(
    server: Geofabrik, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_index(server.url, tmp_path)
    server.faults["/index-v1.json"].extend([Fault(status=503)] * QUICK.attempts)
    assert len(read_index(server.url, tmp_path, QUICK)) == 8
    assert "stored copy from Tue, 14 Nov 2023" in capsys.readouterr().err.replace("\n", " ")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(OfflineError, match="cannot be reached"):
        read_index(url, tmp_path)


@pytest.mark.parametrize("date", ["2024-01-31", "240131", "20240131"])
def test_an_extract_of_a_day_has_its_own_address(server: Geofabrik, date: str) -> None:
    found = dated(find_region(read_index(server.url), "georgia"), date)
    assert found.url == f"{server.url}/europe/georgia-240131.osm.pbf"


@pytest.mark.parametrize("date", ["2024-13-01", "yesterday", "", "24"])
def test_other_text_than_a_date_is_a_usage_error(server: Geofabrik, date: str) -> None:
    with pytest.raises(UsageError, match="not a date"):
        dated(find_region(read_index(server.url), "georgia"), date)
