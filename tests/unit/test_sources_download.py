"""Downloads from a real server with faults: the file is whole and has its MD5, or it does not exist."""

from __future__ import annotations

import fcntl
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from geofabrik_server import Fault, File, Geofabrik, serve

from geojepa_cli.errors import BusyError, DataError
from geojepa_cli.sources import http
from geojepa_cli.sources.download import downloaded, fetch_metadata
from geojepa_cli.sources.http import OfflineError, RetryPolicy

CONTENT = random.Random(1).randbytes(3_000_000)
OTHER = random.Random(2).randbytes(3_000_000)
PATH = "/us/x-latest.osm.pbf"
QUICK = RetryPolicy(attempts=4, pause_s=0.01, max_pause_s=0.05, timeout_s=0.5)


@pytest.fixture
def server() -> Iterator[Geofabrik]:
    with serve() as running:
        running.add(PATH, CONTENT)
        yield running


def load(server: Geofabrik, folder: Path, policy: RetryPolicy = QUICK) -> bytes:
    """Downloads, and asserts that nothing but the file remains."""
    with downloaded(server.url + PATH, folder / "x", policy=policy) as path:
        assert path == folder / "x"
    assert [path.name for path in folder.iterdir()] == ["x"]
    return (folder / "x").read_bytes()


def interrupted(server: Geofabrik, folder: Path, at: int) -> None:
    """An earlier run whose connection broke at a byte, and that gave up."""
    server.faults[PATH].append(Fault(cut_at=at))
    with pytest.raises(OfflineError), downloaded(server.url + PATH, folder / "x", policy=QUICK._replace(attempts=1)):
        pass
    assert not (folder / "x").exists()


def test_a_download_is_whole_and_reports_progress(server: Geofabrik, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with downloaded(server.url + PATH, tmp_path / "x", lambda done, total: seen.append((done, total))):
        pass
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


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
    with pytest.raises(OfflineError, match="broke off") as caught:
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


def test_a_server_that_ignores_if_range_does_not_mix_two_versions(server: Geofabrik, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 1_000_000)
    kept = json.loads((tmp_path / "x.partial.json").read_text())
    server.files[PATH] = File(OTHER, modified=1_700_009_000)
    (tmp_path / "x.partial.json").write_text(json.dumps(kept | {"md5": server.files[PATH].md5}))
    server.faults[PATH].append(Fault(ignore_if_range=True))
    assert load(server, tmp_path) == OTHER


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


@pytest.mark.parametrize("at", [None, 1_000_000])
def test_a_wrong_md5_is_an_error_and_leaves_no_file(server: Geofabrik, tmp_path: Path, at: int | None) -> None:
    server.files[PATH] = File(CONTENT, md5="0" * 32)
    if at:
        server.faults[PATH].append(Fault(cut_at=at))
    with pytest.raises(DataError, match=r"has MD5 .* expected 0000") as caught:
        load(server, tmp_path)
    assert caught.value.hint and list(tmp_path.iterdir()) == []
    assert len(server.gets(PATH)) <= 3


def test_an_md5_that_is_published_later_than_its_file_is_requested_again(server: Geofabrik, tmp_path: Path) -> None:
    server.files[f"{PATH}.md5"] = File(b"0" * 32)
    server.faults[PATH].append(Fault(bytes_per_s=6_000_000))

    def publish() -> None:
        while not server.gets(PATH):
            time.sleep(0.005)
        del server.files[f"{PATH}.md5"]

    publishing = threading.Thread(target=publish)
    publishing.start()
    assert load(server, tmp_path) == CONTENT
    publishing.join()
    assert len(server.gets(PATH)) == 1


@pytest.mark.parametrize("off", [-100, 100])
def test_a_content_length_that_is_wrong_once_is_corrected_or_an_error(
    server: Geofabrik, tmp_path: Path, off: int
) -> None:
    server.faults[PATH].append(Fault(length_off=off))
    if off > 0:
        assert load(server, tmp_path) == CONTENT
        return
    with pytest.raises(DataError, match="MD5"):
        load(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_content_length_that_is_always_wrong_is_an_error_and_leaves_no_file(
    server: Geofabrik, tmp_path: Path
) -> None:
    server.files[PATH] = File(CONTENT, md5=None)
    server.faults[PATH].extend([Fault(length_off=100, ignore_range=True)] * 20)
    with pytest.raises(OfflineError, match=r"3,000,000 of 3,000,100 bytes|without sending complete"):
        load(server, tmp_path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_request_to_a_busy_server_is_repeated(server: Geofabrik, tmp_path: Path, status: int) -> None:
    server.faults[f"{PATH}.md5"].append(Fault(status=status))
    server.faults[PATH].extend([Fault(status=status), Fault(cut_at=5000), Fault(status=status, retry_after=0)])
    assert load(server, tmp_path) == CONTENT


def test_a_server_that_stays_busy_is_an_error_with_a_hint(server: Geofabrik, tmp_path: Path) -> None:
    server.faults[PATH].extend([Fault(status=503)] * 20)
    with pytest.raises(OfflineError, match="503") as caught:
        load(server, tmp_path)
    assert "--pbf" in str(caught.value.hint) and list(tmp_path.iterdir()) == []
    assert len(server.gets(PATH)) == QUICK.attempts


def test_pauses_double_up_to_a_limit_which_also_holds_for_retry_after(
    server: Geofabrik, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    policy = RetryPolicy(attempts=6, pause_s=0.05, max_pause_s=0.3, timeout_s=0.5)
    retry_after = [Fault(status=503, retry_after=0), Fault(status=503, retry_after=3600)]
    server.faults[PATH].extend([Fault(status=503)] * 3 + retry_after)
    assert load(server, tmp_path, policy) == CONTENT
    assert pauses == [0.05, 0.1, 0.2, 0.0, 0.3]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_repeated(server: Geofabrik, tmp_path: Path, status: int) -> None:
    server.faults[PATH].append(Fault(status=status))
    with pytest.raises(OfflineError, match=f"answered {status}"):
        load(server, tmp_path)
    assert len(server.gets(PATH)) == 1 and list(tmp_path.iterdir()) == []


def test_a_stalled_connection_is_opened_again_and_the_download_resumed(server: Geofabrik, tmp_path: Path) -> None:
    server.faults[PATH].append(Fault(stall_at=1_000_000, stall_s=3))
    assert load(server, tmp_path) == CONTENT
    assert server.gets(PATH)[1].range == "bytes=1000000-"


def test_a_slow_connection_is_no_timeout(server: Geofabrik, tmp_path: Path) -> None:
    server.files[PATH] = File(CONTENT[:100_000])
    server.faults[PATH].append(Fault(bytes_per_s=100_000))
    policy = QUICK._replace(timeout_s=0.3)  # far less than the second that it takes
    assert load(server, tmp_path, policy) == CONTENT[:100_000]
    assert len(server.gets(PATH)) == 1


def test_redirects_are_followed_for_file_and_md5(server: Geofabrik, tmp_path: Path) -> None:
    server.add("/dated/x.osm.pbf", CONTENT)
    server.faults[PATH].extend([Fault(redirect="/dated/x.osm.pbf")] * 2)
    server.faults[f"{PATH}.md5"].append(Fault(redirect="/dated/x.osm.pbf.md5"))
    server.faults["/dated/x.osm.pbf"].append(Fault(cut_at=1_000_000))
    assert load(server, tmp_path) == CONTENT
    assert server.gets("/dated/x.osm.pbf")[-1].range == "bytes=1000000-"


def test_a_loop_of_redirects_is_an_error(server: Geofabrik, tmp_path: Path) -> None:
    server.faults[PATH].extend([Fault(redirect=PATH)] * 100)
    with pytest.raises(OfflineError, match="redirect"):
        load(server, tmp_path)


@pytest.mark.parametrize("path", [PATH, f"{PATH}.md5"])
def test_a_redirect_to_a_local_file_is_refused_and_not_repeated(server: Geofabrik, tmp_path: Path, path: str) -> None:
    server.faults[path].extend([Fault(redirect="file:///etc/passwd")] * 9)
    with pytest.raises(OfflineError, match="file://"):
        load(server, tmp_path)
    assert len(server.gets(path)) == 1 and list(tmp_path.iterdir()) == []


def test_a_large_file_in_the_place_of_an_md5_is_not_read_to_its_end(server: Geofabrik, tmp_path: Path) -> None:
    server.files[f"{PATH}.md5"] = File(bytes(1 << 26))
    with pytest.raises(OfflineError, match="sends more than"):
        load(server, tmp_path)
    assert server.gets(f"{PATH}.md5")[0].sent < 1 << 25 and list(tmp_path.iterdir()) == []


def test_without_a_published_md5_the_length_is_checked_with_a_warning(
    server: Geofabrik, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files[PATH] = File(CONTENT, md5=None)
    server.faults[PATH].append(Fault(cut_at=2_000_000))
    assert load(server, tmp_path) == CONTENT
    assert "only the length" in capsys.readouterr().err.replace("\n", " ")


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
        with downloaded(server.url + PATH, tmp_path / "x", policy=QUICK) as path, path.open("rb") as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("state", ["[" * 100_000, "[1]", '{"url": 3}', '{"validator": ["x"]}', "\x00", ""])
def test_a_damaged_state_file_is_ignored(server: Geofabrik, tmp_path: Path, state: str) -> None:
    (tmp_path / "x.partial").write_bytes(OTHER[:1000])
    (tmp_path / "x.partial.json").write_text(state)
    assert load(server, tmp_path) == CONTENT


def test_a_server_that_does_not_exist_is_an_error_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.time, "sleep", lambda _: pytest.fail("paused"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/x"
    with pytest.raises(OfflineError, match="cannot be reached") as caught:
        fetch_metadata(url)
    assert "--pbf" in str(caught.value.hint)
    with pytest.raises(OfflineError, match="cannot be reached") as caught, downloaded(url, tmp_path / "x"):
        pass
    assert "--pbf" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_size_and_date_are_found_without_a_download(server: Geofabrik) -> None:
    assert fetch_metadata(server.url + PATH) == (len(CONTENT), "Tue, 14 Nov 2023 22:13:20 GMT")
    assert [request.method for request in server.requests] == ["HEAD"]
    with pytest.raises(OfflineError, match="404"):
        fetch_metadata(server.url + "/absent")
