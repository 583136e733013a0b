"""`geojepa fetch --region`: downloads from a local server that behaves as Geofabrik's."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import COMMAND, artifact_names, call, run_main
from geofabrik_server import Fault, Geofabrik, region, serve

STATE, CITY = "/us/pennsylvania-latest.osm.pbf", "/us/pennsylvania/harrisburg-latest.osm.pbf"


@pytest.fixture
def server(shared: Path) -> Iterator[Geofabrik]:
    """Serves two real extracts as `us/pennsylvania` and its part `harrisburg`."""
    with serve() as running:
        state = running.add(STATE, (shared / "osm/state-college.osm.pbf").read_bytes())
        city = running.add(CITY, (shared / "osm/harrisburg.osm.pbf").read_bytes())
        running.add_index(
            [
                region("us/pennsylvania", "us/pennsylvania", state, "north-america"),
                region("harrisburg", "Harrisburg", city, "us/pennsylvania"),
            ]
        )
        yield running


def test_regions_are_downloaded_verified_and_published_under_their_names(tmp_path: Path, server: Geofabrik) -> None:
    server.faults[STATE].append(Fault(cut_at=1_000_000))
    asked = ["--region", "pennsylvania/harrisburg", "--region", "pennsyl", "--geofabrik-url", server.url]
    done = call("fetch", *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trying again at byte 1,000,000" in done.stderr.replace("\n", " ")
    for name, path in (("harrisburg", CITY), ("pennsylvania", STATE)):
        (copy,) = tmp_path.glob(f"workspace/source/{name}@*/map.osm.pbf")
        assert copy.read_bytes() == server.files[path].content
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))  # nothing twice on the disk
    again = call("fetch", *asked[:2], *asked[4:], cwd=tmp_path)
    assert again.returncode == 0 and "up to date" in again.stderr


def test_a_killed_fetch_resumes_its_download(tmp_path: Path, server: Geofabrik) -> None:
    size = len(server.files[STATE].content)
    server.faults[STATE].append(Fault(stall_at=size // 2, stall_s=60))
    asked = ["fetch", "--region", "us/pennsylvania", "--geofabrik-url", server.url]
    with subprocess.Popen([*COMMAND, *asked], cwd=tmp_path, stderr=subprocess.DEVNULL, env={**os.environ}) as process:
        partial = tmp_path / "workspace/downloads/us-pennsylvania.osm.pbf.partial"
        deadline = time.monotonic() + 60
        while not partial.exists() or partial.stat().st_size < size // 4:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = partial.stat().st_size
    assert not artifact_names(tmp_path / "workspace")
    run_main(*asked, cwd=tmp_path)
    assert [request.range for request in server.gets(STATE)] == [None, f"bytes={kept}-"]
    (copy,) = tmp_path.glob("workspace/source/pennsylvania@*/map.osm.pbf")
    assert copy.read_bytes() == server.files[STATE].content


def test_a_whole_download_of_a_killed_fetch_is_not_downloaded_again(tmp_path: Path, server: Geofabrik) -> None:
    downloads = tmp_path / "workspace/downloads"
    downloads.mkdir(parents=True)
    (downloads / "harrisburg.osm.pbf").write_bytes(server.files[CITY].content)
    run_main("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert server.gets(CITY) == [] and len(artifact_names(tmp_path / "workspace")) == 1


def test_a_wrong_md5_publishes_nothing_and_leaves_no_file(tmp_path: Path, server: Geofabrik) -> None:
    server.files[CITY].md5 = "0" * 32
    done = call("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert done.returncode == 1 and "MD5" in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not artifact_names(tmp_path / "workspace")
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))


def test_a_page_in_the_place_of_an_extract_is_refused_and_removed(tmp_path: Path, server: Geofabrik) -> None:
    server.add(CITY, b"<!DOCTYPE html><html></html>", md5=None)
    done = call("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert done.returncode == 1 and "HTML page" in done.stderr and not artifact_names(tmp_path / "workspace")
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--name", "a/b"), "is not a valid name"),
        (("--imagery", "absent"), "is not a directory"),
        (("--imagery", "."), "holds no image tile"),
        (("--region", "pennsyl", "--name", "both"), "`--name` can be used with one `--region` only"),
    ],
)
def test_what_cannot_be_published_is_refused_before_the_download(
    tmp_path: Path, server: Geofabrik, more: tuple[str, ...], message: str, dry: tuple[str, ...]
) -> None:
    asked = ("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, *more, *dry)
    done = call(*asked, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr and "hint:" in done.stderr, done.stderr
    assert not server.gets(CITY) and not (tmp_path / "workspace").exists()


def test_two_regions_of_one_name_are_refused_with_a_command_for_each(tmp_path: Path, server: Geofabrik) -> None:
    server.add_index([region("georgia", "Georgia", server.url + CITY), region("us/georgia", "G", server.url + STATE)])
    asked = ("--region", "georgia", "--region", "us/georgia", "--geofabrik-url", server.url)
    done = call("fetch", *asked, cwd=tmp_path)
    assert done.returncode == 2 and "would both be named `georgia`" in done.stderr
    hint = " ".join(done.stderr.partition("hint:")[2].split())
    assert hint == f"geojepa fetch --geofabrik-url {server.url} --region us/georgia --name us-georgia"
    run_main(*shlex.split(hint)[1:], cwd=tmp_path)
    assert [name.partition("@")[0] for name in artifact_names(tmp_path / "workspace")] == ["source/us-georgia"]


def test_a_dry_run_prints_size_date_and_disk_need_and_writes_nothing(tmp_path: Path, server: Geofabrik) -> None:
    printed = run_main("fetch", "--dry-run", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    need = f"{len(server.files[CITY].content) / 2**20:,.1f} MiB of disk"
    assert need in printed and "14 Nov 2023" in printed and "nothing was fetched" in printed
    assert not (tmp_path / "workspace").exists() and server.gets(CITY) == []


def test_a_dry_run_prints_number_dates_and_disk_need_of_imagery(
    tmp_path: Path, server: Geofabrik, shared: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((shared / "naip/geotiff").glob("m_4709963*.tif")):
        (images / path.name).write_bytes(path.read_bytes())
    asked = ("fetch", "--dry-run", "--region", "harrisburg", "--geofabrik-url", server.url)
    printed = " ".join(run_main(*asked, "--imagery", images, cwd=tmp_path).split())
    size = sum(path.stat().st_size for path in images.iterdir()) / 2**20
    assert f"imagery: 2 scenes of 2018-07-16 to 2020-08-31, {size:,.1f} MiB of disk" in printed
    found = json.loads(run_main(*asked, "--imagery", images, "--json", cwd=tmp_path))["result"]["regions"][0]["imagery"]
    assert found["scenes"] == 2 and found["bytes"] == sum(path.stat().st_size for path in images.iterdir())
    late = run_main(*asked, "--imagery", "naip", "--stac-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert "NAIP is searched after the download" in " ".join(late.split())
    gone = run_main(
        *asked, "--imagery", "naip", "--stac-url", "http://127.0.0.1:9", "--bbox=-77,40,-76,41", cwd=tmp_path
    )
    assert "cannot be searched" in " ".join(gone.split()) and not (tmp_path / "workspace").exists()


def test_a_dated_extract_is_fetched_and_a_date_without_a_region_refused(tmp_path: Path, server: Geofabrik) -> None:
    path = CITY.replace("latest", "240101")
    server.add(path, server.files[CITY].content)
    run_main("fetch", "--region", "harrisburg", "--date", "2024-01-01", "--geofabrik-url", server.url, cwd=tmp_path)
    assert len(server.gets(path)) == 1 and not server.gets(CITY)
    refused = call("fetch", "--pbf", "x", "--name", "x", "--date", "2024-01-01", cwd=tmp_path)
    assert refused.returncode == 2 and "--date" in refused.stderr


def test_a_mirror_in_a_folder_is_read_without_a_download(tmp_path: Path, shared: Path) -> None:
    data = (shared / "osm/harrisburg.osm.pbf").read_bytes()
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/harrisburg-latest.osm.pbf").write_bytes(data)
    features = [region("harrisburg", "Harrisburg", "https://download.geofabrik.de/harrisburg-latest.osm.pbf")]
    (tmp_path / "mirror/index-v1.json").write_text(json.dumps({"features": features}))
    run_main("fetch", "--region", "harrisburg", "--geofabrik-url", "mirror", cwd=tmp_path)
    (copy,) = tmp_path.glob("workspace/source/harrisburg@*/map.osm.pbf")
    assert copy.read_bytes() == data and (tmp_path / "mirror/harrisburg-latest.osm.pbf").exists()
