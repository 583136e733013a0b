"""Downloads from a real server with faults: the file is whole and has its MD5, or it does not exist."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_file import CONTENT, PATH, QUICK, load
from geofabrik_server import Fault, File, Geofabrik, serve

from geojepa_cli.errors import DataError
from geojepa_cli.sources import http
from geojepa_cli.sources.download import downloaded, fetch_metadata
from geojepa_cli.sources.http import OfflineError, RetryPolicy


@pytest.fixture
def server() -> Iterator[Geofabrik]:
    with serve() as running:
        running.add(PATH, CONTENT)
        yield running


def test_a_download_is_whole_and_reports_progress(server: Geofabrik, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with downloaded(server.url + PATH, tmp_path / "x", lambda done, total: seen.append((done, total))):
        pass
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


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
