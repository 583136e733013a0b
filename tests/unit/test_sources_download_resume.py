"""Downloads resumed after a broken connection or a killed run, from a real server."""

from __future__ import annotations

import fcntl
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_file import CONTENT, OTHER, PATH, QUICK, load
from geofabrik_server import Fault, File, Geofabrik, serve

from geojepa_cli.errors import BusyError
from geojepa_cli.sources.download import downloaded
from geojepa_cli.sources.http import OfflineError


@pytest.fixture
def server() -> Iterator[Geofabrik]:
    with serve() as running:
        running.add(PATH, CONTENT)
        yield running


def interrupted(server: Geofabrik, folder: Path, at: int) -> None:
    """An earlier run whose connection broke at a byte, and that gave up."""
    server.faults[PATH].append(Fault(cut_at=at))
    with pytest.raises(OfflineError), downloaded(server.url + PATH, folder / "x", policy=QUICK._replace(attempts=1)):
        pass
    assert not (folder / "x").exists()


@pytest.mark.parametrize("seed", range(5))
def test_a_connection_that_breaks_twenty_times_loads_no_byte_twice(
    server: Geofabrik, tmp_path: Path, seed: int
) -> None:
    places = sorted(random.Random(seed).sample(range(1, len(CONTENT)), 20))
    server.faults[PATH].extend(Fault(cut_at=place) for place in places)
    assert load(server, tmp_path) == CONTENT
    asked = server.gets(PATH)
    assert [request.range for request in asked] == [None, *(f"bytes={place}-" for place in places)]
    assert {request.if_range for request in asked[1:]} == {server.files[PATH].etag}


@pytest.mark.parametrize("at", [0, 1, 65_536, len(CONTENT) - 1])
def test_the_next_run_resumes_where_the_last_one_broke_off(server: Geofabrik, tmp_path: Path, at: int) -> None:
    interrupted(server, tmp_path, at)
    assert load(server, tmp_path) == CONTENT
    assert server.gets(PATH)[-1].range == (f"bytes={at}-" if at else None)


def test_the_hint_after_giving_up_has_the_number_of_kept_bytes(server: Geofabrik, tmp_path: Path) -> None:
    server.faults[PATH].extend([Fault(cut_at=1000)] * 10)
    with pytest.raises(OfflineError, match="interrupted too often") as caught:
        load(server, tmp_path)
    assert "1,000 of 3,000,000 bytes are kept" in str(caught.value.hint)
    assert len(server.gets(PATH)) == QUICK.attempts  # the last ones received nothing
    server.faults[PATH].clear()
    assert load(server, tmp_path) == CONTENT


def test_a_whole_partial_file_is_not_downloaded_again(server: Geofabrik, tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_bytes(CONTENT)
    assert load(server, tmp_path) == CONTENT
    assert [request.sent for request in server.gets(PATH)] == [0]
    server.requests.clear()
    assert load(server, tmp_path) == CONTENT  # the whole file with the right MD5 is used again
    assert server.gets(PATH) == []


@pytest.mark.parametrize("etag", ["", None, 'W/"weak"'])
def test_a_file_that_changed_between_two_runs_is_downloaded_again(
    server: Geofabrik, tmp_path: Path, etag: str | None
) -> None:
    server.files[PATH] = File(CONTENT, etag=etag)
    interrupted(server, tmp_path, 1_000_000)
    server.files[PATH] = File(OTHER, etag=etag, modified=1_700_009_000)
    assert load(server, tmp_path) == OTHER


@pytest.mark.parametrize("size", [3_000_000, 2_000_000, 500_000])
def test_a_file_that_changes_during_a_download_is_downloaded_again(
    server: Geofabrik, tmp_path: Path, size: int
) -> None:
    server.faults[PATH].append(Fault(cut_at=1_000_000, bytes_per_s=5_000_000))

    def change() -> None:
        while not server.gets(PATH):
            time.sleep(0.005)
        server.files[PATH] = File(OTHER[:size], modified=1_700_009_000)

    changing = threading.Thread(target=change)
    changing.start()
    assert load(server, tmp_path) == OTHER[:size]
    changing.join()


@pytest.mark.parametrize("known", [True, False])
def test_a_partial_file_of_another_file_is_detected_by_the_md5(server: Geofabrik, tmp_path: Path, known: bool) -> None:
    (tmp_path / "x.partial").write_bytes(OTHER[:700_000])
    if known:
        (tmp_path / "x.partial.json").write_text(json.dumps({"url": server.url + "/other", "md5": None}))
    assert load(server, tmp_path) == CONTENT


def test_the_rest_of_a_range_that_comes_in_pieces_is_requested(server: Geofabrik, tmp_path: Path) -> None:
    """Without an MD5, which would detect that the file is short."""
    server.files[PATH].md5 = None
    server.faults[PATH].extend([Fault(cut_at=1_000_000), *[Fault(piece=600_000)] * 4])
    assert load(server, tmp_path) == CONTENT
    assert len(server.gets(PATH)) == 5


def test_a_server_without_ranges_sends_the_whole_file_again(server: Geofabrik, tmp_path: Path) -> None:
    server.faults[PATH].extend([Fault(cut_at=1_000_000), Fault(cut_at=2_000_000, ignore_range=True)])
    server.faults[PATH].append(Fault(ignore_range=True))
    assert load(server, tmp_path) == CONTENT


def test_without_md5_and_validator_a_partial_file_is_not_resumed(server: Geofabrik, tmp_path: Path) -> None:
    server.files[PATH] = File(CONTENT, md5=None)
    (tmp_path / "x.partial").write_bytes(OTHER[:1000])
    assert load(server, tmp_path) == CONTENT
    assert server.gets(PATH)[0].range is None


@pytest.mark.parametrize("name", ["x.partial", "x"])
def test_two_processes_do_not_download_or_use_one_file_together(server: Geofabrik, tmp_path: Path, name: str) -> None:
    """While another process downloads it, and while another process uses the whole file."""
    (tmp_path / name).write_bytes(CONTENT if name == "x" else b"")
    with (tmp_path / name).open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError), downloaded(server.url + PATH, tmp_path / "x", policy=QUICK):
            pass
    assert load(server, tmp_path) == CONTENT


def test_a_downloaded_file_stays_locked_while_it_is_used(server: Geofabrik, tmp_path: Path) -> None:
    for _ in range(2):  # downloaded, then used again
        with (
            downloaded(server.url + PATH, tmp_path / "x", policy=QUICK) as path,
            path.open("rb") as file,
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("state", ["[" * 100_000, "[1]", '{"url": 3}', '{"validator": ["x"]}', "\x00", ""])
def test_a_damaged_state_file_is_ignored(server: Geofabrik, tmp_path: Path, state: str) -> None:
    (tmp_path / "x.partial").write_bytes(OTHER[:1000])
    (tmp_path / "x.partial.json").write_text(state)
    assert load(server, tmp_path) == CONTENT


def test_a_server_that_ignores_if_range_does_not_mix_two_versions(server: Geofabrik, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 1_000_000)
    kept = json.loads((tmp_path / "x.partial.json").read_text())
    server.files[PATH] = File(OTHER, modified=1_700_009_000)
    (tmp_path / "x.partial.json").write_text(json.dumps(kept | {"md5": server.files[PATH].md5}))
    server.faults[PATH].append(Fault(ignore_if_range=True))
    assert load(server, tmp_path) == OTHER
