"""`geojepa fetch`: published sources, refused input, resumed downloads, and runs without a network."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from commandline import COMMAND, artifact_names, geojepa, run
from geofabrik_server import Fault, Geofabrik, region, serve
from PIL import Image

XML = '<osm version="0.6"><node id="1" lat="1" lon="2"><tag k="amenity" v="{}"/></node></osm>'
INDEX = {
    "features": [
        {"properties": {"id": "us/california", "name": "California", "urls": {"pbf": "http://127.0.0.1:9/x.osm.pbf"}}}
    ]
}


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "x.osm"
    path.write_text(XML.format("cafe"))
    return path


def manifest(folder: Path, kind: str = "source") -> dict[str, object]:
    paths = list(folder.glob(f"workspace/{kind}/*/manifest.json"))
    assert len(paths) == 1
    return json.loads(paths[0].read_text())  # type: ignore[no-any-return]


def test_a_file_is_copied_with_its_attribution(tmp_path: Path, extract: Path) -> None:
    answer = json.loads(run("fetch", "--pbf", extract, "--name", "place", "--json", cwd=tmp_path))
    told = manifest(tmp_path)
    assert answer["command"] == "fetch" and answer["artifact"] == f"place@{told['id']}"
    assert any("OpenStreetMap contributors" in line for line in told["attribution"])
    assert list(told["files"]) == ["map.osm"]
    assert told["files"]["map.osm"]["sha256"] == hashlib.sha256(extract.read_bytes()).hexdigest()


def test_the_same_content_is_up_to_date_and_other_content_is_a_new_version(tmp_path: Path, extract: Path) -> None:
    run("fetch", "--pbf", extract, "--name", "place", cwd=tmp_path)
    moved = extract.rename(tmp_path / "elsewhere")
    again = geojepa("fetch", "--pbf", moved, "--name", "place", cwd=tmp_path)
    assert again.returncode == 0 and "up to date, skipping" in again.stderr
    assert len(artifact_names(tmp_path / "workspace")) == 1
    moved.write_text(XML.format("bar"))
    run("fetch", "--pbf", moved, "--name", "place", cwd=tmp_path)
    assert len(artifact_names(tmp_path / "workspace")) == 2


def test_image_tiles_are_copied_and_change_the_version(tmp_path: Path, extract: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (224, 224)).save(images / "16_1_2.webp", lossless=True)
    run("fetch", "--pbf", extract, "--name", "place", "--imagery", images, "--attribution", "USDA", cwd=tmp_path)
    told = manifest(tmp_path)
    assert sorted(told["files"]) == ["imagery/16_1_2.webp", "map.osm"]
    assert "USDA" in told["attribution"]
    run("fetch", "--pbf", extract, "--name", "place", cwd=tmp_path)
    assert len(artifact_names(tmp_path / "workspace")) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "either --region or --pbf"),
        (["--pbf", "x.osm", "--region", "california"], 2, "either --region or --pbf"),
        (["--pbf", "x.osm"], 2, "geojepa fetch --pbf x.osm --name x"),
        (["--pbf", "absent.osm", "--name", "a"], 2, "does not exist"),
        (["--pbf", "x.osm", "--name", "a/b"], 2, "cannot name an artifact"),
        (["--pbf", "x.osm", "--name", "a", "--imagery", "absent"], 2, "is not a directory"),
        (["--pbf", "page.osm.pbf", "--name", "a"], 1, "HTML page"),
        (["--pbf", "empty.osm.pbf", "--name", "a"], 1, "is empty"),
        (["--pbf", "page.osm.pbf", "--name", "a", "--dry-run"], 1, "HTML page"),
    ],
)
def test_wrong_arguments_and_files_are_refused_and_nothing_is_published(
    tmp_path: Path, extract: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "page.osm.pbf").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "empty.osm.pbf").write_bytes(b"")
    done = geojepa("fetch", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def small(path: Path) -> None:
    Image.new("RGB", (100, 100)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("16_1_2.png", small, "100 × 100 px, expected 224 × 224"),
        ("16_1_2.webp", lambda path: path.write_text("<!DOCTYPE html><html></html>"), "cannot be decoded"),
        ("16_70000_2.png", lambda path: Image.new("RGB", (224, 224)).save(path), "outside the grid"),
        ("16_1_2.webp", lambda path: path.mkdir(), "cannot be decoded"),
        ("ATTRIBUTION.txt", lambda path: path.write_bytes(b"\xa9 USDA"), "not UTF-8"),
    ],
)
def test_bad_image_tiles_are_refused_by_name_before_anything_is_published(
    tmp_path: Path, extract: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (224, 224)).save(images / "16_1_1.png")
    make(images / name)
    done = geojepa("fetch", "--pbf", extract, "--name", "place", "--imagery", images, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr and f"`{images / name}`" in done.stderr.replace("\n", "")
    assert "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_dry_run_of_a_file_publishes_nothing(tmp_path: Path, extract: Path) -> None:
    assert "would copy" in run("fetch", "--pbf", extract, "--name", "place", "--dry-run", cwd=tmp_path)
    assert not (tmp_path / "workspace").exists()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/index.json"


def test_a_dry_run_without_a_network_is_no_error(tmp_path: Path) -> None:
    done = geojepa("fetch", "--dry-run", "--region", "california", "--geofabrik-url", closed_port(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no network" in done.stderr and "`california`" in done.stdout and "nothing was fetched" in done.stdout
    asked = ["fetch", "--dry-run", "--region", "california", "--geofabrik-url", closed_port(), "--json"]
    answer = json.loads(run(*asked, cwd=tmp_path))
    assert answer["result"]["reached"] is False
    assert not (tmp_path / "workspace").exists()


def test_a_fetch_without_a_network_fails_with_a_hint(tmp_path: Path) -> None:
    done = geojepa("fetch", "--region", "california", "--geofabrik-url", closed_port(), cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "--pbf" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_dry_run_with_a_local_index_names_the_file(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    index.write_text(json.dumps(INDEX))
    asked = ["fetch", "--dry-run", "--region", "california", "--geofabrik-url", index]
    answer = json.loads(run(*asked, "--json", cwd=tmp_path))
    assert answer["result"]["regions"][0]["url"] == "http://127.0.0.1:9/x.osm.pbf"
    assert "us/california" in run(*asked, cwd=tmp_path)
    mistyped = geojepa("fetch", "--dry-run", "--region", "californa", "--geofabrik-url", index, cwd=tmp_path)
    assert mistyped.returncode == 2 and "did you mean `california`" in mistyped.stderr


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


STATE, CITY = "/us/pennsylvania-latest.osm.pbf", "/us/pennsylvania/harrisburg-latest.osm.pbf"


def test_regions_are_downloaded_verified_and_published_under_their_names(tmp_path: Path, server: Geofabrik) -> None:
    server.faults[STATE].append(Fault(cut_at=1_000_000))
    asked = ["--region", "pennsylvania/harrisburg", "--region", "pennsyl", "--geofabrik-url", server.url]
    done = geojepa("fetch", *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trying again at byte 1,000,000" in done.stderr.replace("\n", " ")
    for name, path in (("harrisburg", CITY), ("pennsylvania", STATE)):
        (copy,) = tmp_path.glob(f"workspace/source/{name}@*/map.osm.pbf")
        assert copy.read_bytes() == server.files[path].content
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))  # nothing twice on the disk
    again = geojepa("fetch", *asked[:2], *asked[4:], cwd=tmp_path)
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
    run(*asked, cwd=tmp_path)
    assert [request.range for request in server.gets(STATE)] == [None, f"bytes={kept}-"]
    (copy,) = tmp_path.glob("workspace/source/pennsylvania@*/map.osm.pbf")
    assert copy.read_bytes() == server.files[STATE].content


def test_a_whole_download_of_a_killed_fetch_is_not_downloaded_again(tmp_path: Path, server: Geofabrik) -> None:
    downloads = tmp_path / "workspace/downloads"
    downloads.mkdir(parents=True)
    (downloads / "harrisburg.osm.pbf").write_bytes(server.files[CITY].content)
    run("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert server.gets(CITY) == [] and len(artifact_names(tmp_path / "workspace")) == 1


def test_a_wrong_md5_publishes_nothing_and_leaves_no_file(tmp_path: Path, server: Geofabrik) -> None:
    server.files[CITY].md5 = "0" * 32
    done = geojepa("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert done.returncode == 1 and "MD5" in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not artifact_names(tmp_path / "workspace")
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))


def test_a_page_in_the_place_of_an_extract_is_refused_and_removed(tmp_path: Path, server: Geofabrik) -> None:
    server.add(CITY, b"<!DOCTYPE html><html></html>", md5=None)
    done = geojepa("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    assert done.returncode == 1 and "HTML page" in done.stderr and not artifact_names(tmp_path / "workspace")
    assert not list(tmp_path.glob("workspace/downloads/*.pbf*"))


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--name", "a/b"), "cannot name an artifact"),
        (("--imagery", "absent"), "is not a directory"),
        (("--imagery", "."), "holds no image tile"),
        (("--region", "pennsyl", "--name", "both"), "--name applies to one region"),
    ],
)
def test_what_cannot_be_published_is_refused_before_the_download(
    tmp_path: Path, server: Geofabrik, more: tuple[str, ...], message: str, dry: tuple[str, ...]
) -> None:
    asked = ("fetch", "--region", "harrisburg", "--geofabrik-url", server.url, *more, *dry)
    done = geojepa(*asked, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr and "hint:" in done.stderr, done.stderr
    assert not server.gets(CITY) and not (tmp_path / "workspace").exists()


def test_two_regions_of_one_name_are_refused_with_a_command_for_each(tmp_path: Path, server: Geofabrik) -> None:
    server.add_index([region("georgia", "Georgia", server.url + CITY), region("us/georgia", "G", server.url + STATE)])
    asked = ("--region", "georgia", "--region", "us/georgia", "--geofabrik-url", server.url)
    done = geojepa("fetch", *asked, cwd=tmp_path)
    assert done.returncode == 2 and "would both be named `georgia`" in done.stderr
    hint = " ".join(done.stderr.partition("hint:")[2].split())
    assert hint == f"geojepa fetch --geofabrik-url {server.url} --region us/georgia --name us-georgia"
    run(*shlex.split(hint)[1:], cwd=tmp_path)
    assert [name.partition("@")[0] for name in artifact_names(tmp_path / "workspace")] == ["source/us-georgia"]


def test_a_dry_run_prints_size_date_and_disk_need_and_writes_nothing(tmp_path: Path, server: Geofabrik) -> None:
    told = run("fetch", "--dry-run", "--region", "harrisburg", "--geofabrik-url", server.url, cwd=tmp_path)
    need = f"{len(server.files[CITY].content) / 2**20:,.1f} MiB of disk"
    assert need in told and "14 Nov 2023" in told and "nothing was fetched" in told
    assert not (tmp_path / "workspace").exists() and server.gets(CITY) == []


def test_a_dry_run_prints_number_dates_and_disk_need_of_imagery(tmp_path: Path, server: Geofabrik, shared: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((shared / "naip/geotiff").glob("m_4709963*.tif")):
        (images / path.name).write_bytes(path.read_bytes())
    asked = ("fetch", "--dry-run", "--region", "harrisburg", "--geofabrik-url", server.url)
    told = " ".join(run(*asked, "--imagery", images, cwd=tmp_path).split())
    size = sum(path.stat().st_size for path in images.iterdir()) / 2**20
    assert f"imagery: 2 scenes of 2018-07-16 to 2020-08-31, {size:,.1f} MiB of disk" in told
    found = json.loads(run(*asked, "--imagery", images, "--json", cwd=tmp_path))["result"]["regions"][0]["imagery"]
    assert found["scenes"] == 2 and found["bytes"] == sum(path.stat().st_size for path in images.iterdir())
    late = run(*asked, "--imagery", "naip", "--stac-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert "NAIP is searched after the download" in " ".join(late.split())
    gone = run(*asked, "--imagery", "naip", "--stac-url", "http://127.0.0.1:9", "--bbox=-77,40,-76,41", cwd=tmp_path)
    assert "cannot be searched" in " ".join(gone.split()) and not (tmp_path / "workspace").exists()


def test_a_dry_run_counts_the_pixels_that_a_vrt_shows(
    tmp_path: Path, extract: Path, shared: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    part = shared / "naip/geotiff/m_4709963_se_14_1_20200831.tif"
    rasterio.shutil.copy(str(part), str(images / "all.vrt"), driver="VRT")
    asked = ("fetch", "--pbf", extract, "--name", "place", "--imagery", images)
    found = json.loads(run(*asked, "--dry-run", "--json", cwd=tmp_path))["result"]["imagery"]
    with rasterio.open(part) as source:
        assert found["bytes"] == source.width * source.height * source.count and found["at_most"]
    run(*asked, cwd=tmp_path)
    (made,) = tmp_path.glob("workspace/source/*/imagery/all.vrt.tif")
    assert 0 < made.stat().st_size <= found["bytes"]


def test_a_dated_extract_is_fetched_and_a_date_without_a_region_refused(tmp_path: Path, server: Geofabrik) -> None:
    path = CITY.replace("latest", "240101")
    server.add(path, server.files[CITY].content)
    run("fetch", "--region", "harrisburg", "--date", "2024-01-01", "--geofabrik-url", server.url, cwd=tmp_path)
    assert len(server.gets(path)) == 1 and not server.gets(CITY)
    refused = geojepa("fetch", "--pbf", "x", "--name", "x", "--date", "2024-01-01", cwd=tmp_path)
    assert refused.returncode == 2 and "--date" in refused.stderr


def test_a_mirror_in_a_folder_is_read_without_a_download(tmp_path: Path, shared: Path) -> None:
    data = (shared / "osm/harrisburg.osm.pbf").read_bytes()
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/harrisburg-latest.osm.pbf").write_bytes(data)
    features = [region("harrisburg", "Harrisburg", "https://download.geofabrik.de/harrisburg-latest.osm.pbf")]
    (tmp_path / "mirror/index-v1.json").write_text(json.dumps({"features": features}))
    run("fetch", "--region", "harrisburg", "--geofabrik-url", "mirror", cwd=tmp_path)
    (copy,) = tmp_path.glob("workspace/source/harrisburg@*/map.osm.pbf")
    assert copy.read_bytes() == data and (tmp_path / "mirror/harrisburg-latest.osm.pbf").exists()


def test_the_box_of_a_fetch_limits_its_tiles_and_image_tiles(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    node = '<node id="{}" lat="40.8" lon="{}"><tag k="amenity" v="cafe"/></node>'
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{node.format(1, -77.85)}{node.format(2, -77.75)}</osm>')
    for name in ("16_18595_24619", "16_18614_24619"):  # the tiles of the two nodes
        Image.new("RGB", (224, 224)).save(images / f"{name}.png")
    box = "-77.86,40.79,-77.84,40.81"
    asked = ["fetch", "--pbf", "x.osm", "--name", "place", "--imagery", images]
    run(*asked, f"--bbox={box}", cwd=tmp_path)
    told = manifest(tmp_path)
    assert told["parameters"]["bbox"] == [-77.86, 40.79, -77.84, 40.81]
    assert [name for name in told["files"] if name.startswith("imagery/")] == ["imagery/16_18595_24619.png"]
    boxed = json.loads(run("tile", "--json", cwd=tmp_path))
    assert boxed["result"]["counts"]["tiles"] == 1
    assert json.loads(run("tile", f"--bbox={box}", "--json", cwd=tmp_path))["artifact"] == boxed["artifact"]
    wide = json.loads(run("tile", "--bbox=-180,-85,180,85", "--json", cwd=tmp_path))
    assert wide["result"]["counts"]["tiles"] == 2
    elsewhere = geojepa(*asked, "--bbox=1,2,3,4", cwd=tmp_path)
    assert elsewhere.returncode == 1 and "none of the 2 image tiles" in elsewhere.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<osm version="0.6"><way id="1"><nd ref="1"/><tag k="a" v="b"/></way></osm>', "there is no node in it"),
        ('<!DOCTYPE osm [<!ENTITY a "b">]><osm version="0.6"><node id="1" lat="1" lon="1"/></osm>', "declares XML"),
    ],
)
def test_xml_without_a_node_or_with_entities_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.osm").write_text(content)
    done = geojepa("fetch", "--pbf", "x.osm", "--name", "x", cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and not list(tmp_path.glob("workspace/source/*@*"))


def test_the_hint_for_a_file_with_a_dangerous_name_is_quoted_and_its_name_legal(tmp_path: Path) -> None:
    name = "a;rm -rf x.osm.pbf"
    (tmp_path / name).write_bytes(b"")
    done = geojepa("fetch", "--pbf", name, cwd=tmp_path)
    words = shlex.split(done.stderr.partition("hint: ")[2])
    assert done.returncode == 2 and words == ["geojepa", "fetch", "--pbf", name, "--name", "a-rm--rf-x"]


@pytest.mark.parametrize("date", ["2024-13-45", "yesterday", "20240101"])
def test_other_text_than_a_day_is_refused_before_the_network(tmp_path: Path, date: str) -> None:
    done = geojepa("fetch", "--region", "x", "--date", date, "--geofabrik-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 2 and "is not a day" in done.stderr
    assert "hint: geojepa fetch --region x --geofabrik-url http://127.0.0.1:9 --date 2024-01-01" in done.stderr


def test_a_box_outside_of_the_extract_is_refused_with_the_extract_s_box(tmp_path: Path) -> None:
    bounds = '<osm version="0.6"><bounds minlat="0.5" minlon="1.5" maxlat="1.5" maxlon="2.5"/>'
    (tmp_path / "x.osm").write_text(XML.format("cafe").replace('<osm version="0.6">', bounds))
    done = geojepa("fetch", "--pbf", "x.osm", "--name", "x", "--bbox=10,10,11,11", cwd=tmp_path)
    assert done.returncode == 1 and not list(tmp_path.glob("workspace/source/*@*"))
    hint = done.stderr.partition("hint: ")[2].strip()
    assert hint == "geojepa fetch --pbf x.osm --name x --bbox 1.5,0.5,2.5,1.5"
    assert geojepa(*shlex.split(hint)[1:], cwd=tmp_path).returncode == 0
