"""`geojepa fetch`: published sources, refused input, and runs without a network."""

from __future__ import annotations

import hashlib
import json
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from commandline import artifact_names, call, run_main
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
    answer = json.loads(run_main("fetch", "--pbf", extract, "--name", "place", "--json", cwd=tmp_path))
    printed = manifest(tmp_path)
    assert answer["command"] == "fetch" and answer["artifact"] == f"place@{printed['id']}"
    assert any("OpenStreetMap contributors" in line for line in printed["attribution"])
    assert list(printed["files"]) == ["map.osm"]
    assert printed["files"]["map.osm"]["sha256"] == hashlib.sha256(extract.read_bytes()).hexdigest()


def test_the_same_content_is_up_to_date_and_other_content_is_a_new_version(tmp_path: Path, extract: Path) -> None:
    run_main("fetch", "--pbf", extract, "--name", "place", cwd=tmp_path)
    moved = extract.rename(tmp_path / "elsewhere")
    again = call("fetch", "--pbf", moved, "--name", "place", cwd=tmp_path)
    assert again.returncode == 0 and "up to date, skipping" in again.stderr
    assert len(artifact_names(tmp_path / "workspace")) == 1
    moved.write_text(XML.format("bar"))
    run_main("fetch", "--pbf", moved, "--name", "place", cwd=tmp_path)
    assert len(artifact_names(tmp_path / "workspace")) == 2


def test_image_tiles_are_copied_and_change_the_version(tmp_path: Path, extract: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (224, 224)).save(images / "16_1_2.webp", lossless=True)
    run_main("fetch", "--pbf", extract, "--name", "place", "--imagery", images, "--attribution", "USDA", cwd=tmp_path)
    printed = manifest(tmp_path)
    assert sorted(printed["files"]) == ["imagery/16_1_2.webp", "map.osm"]
    assert "USDA" in printed["attribution"]
    run_main("fetch", "--pbf", extract, "--name", "place", cwd=tmp_path)
    assert len(artifact_names(tmp_path / "workspace")) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "exactly one of `--region` and `--pbf`"),
        (["--pbf", "x.osm", "--region", "california"], 2, "exactly one of `--region` and `--pbf`"),
        (["--pbf", "x.osm"], 2, "geojepa fetch --pbf x.osm --name x"),
        (["--pbf", "absent.osm", "--name", "a"], 2, "does not exist"),
        (["--pbf", "x.osm", "--name", "a/b"], 2, "is not a valid name"),
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
    done = call("fetch", *arguments, cwd=tmp_path)
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
    done = call("fetch", "--pbf", extract, "--name", "place", "--imagery", images, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr and f"`{images / name}`" in done.stderr.replace("\n", "")
    assert "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_dry_run_of_a_file_publishes_nothing(tmp_path: Path, extract: Path) -> None:
    assert "would copy" in run_main("fetch", "--pbf", extract, "--name", "place", "--dry-run", cwd=tmp_path)
    assert not (tmp_path / "workspace").exists()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/index.json"


def test_a_dry_run_without_a_network_is_no_error(tmp_path: Path) -> None:
    done = call("fetch", "--dry-run", "--region", "california", "--geofabrik-url", closed_port(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no network" in done.stderr and "`california`" in done.stdout and "nothing was fetched" in done.stdout
    asked = ["fetch", "--dry-run", "--region", "california", "--geofabrik-url", closed_port(), "--json"]
    answer = json.loads(run_main(*asked, cwd=tmp_path))
    assert answer["result"]["reached"] is False
    assert not (tmp_path / "workspace").exists()


def test_a_fetch_without_a_network_fails_with_a_hint(tmp_path: Path) -> None:
    done = call("fetch", "--region", "california", "--geofabrik-url", closed_port(), cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "--pbf" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_dry_run_with_a_local_index_names_the_file(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    index.write_text(json.dumps(INDEX))
    asked = ["fetch", "--dry-run", "--region", "california", "--geofabrik-url", index]
    answer = json.loads(run_main(*asked, "--json", cwd=tmp_path))
    assert answer["result"]["regions"][0]["url"] == "http://127.0.0.1:9/x.osm.pbf"
    assert "us/california" in run_main(*asked, cwd=tmp_path)
    mistyped = call("fetch", "--dry-run", "--region", "californa", "--geofabrik-url", index, cwd=tmp_path)
    assert mistyped.returncode == 2 and "did you mean `california`" in mistyped.stderr


def test_a_dry_run_counts_the_pixels_that_a_vrt_shows(tmp_path: Path, extract: Path, shared: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    part = shared / "naip/geotiff/m_4709963_se_14_1_20200831.tif"
    rasterio.shutil.copy(str(part), str(images / "all.vrt"), driver="VRT")
    asked = ("fetch", "--pbf", extract, "--name", "place", "--imagery", images)
    found = json.loads(run_main(*asked, "--dry-run", "--json", cwd=tmp_path))["result"]["imagery"]
    with rasterio.open(part) as source:
        assert found["bytes"] == source.width * source.height * source.count and found["at_most"]
    run_main(*asked, cwd=tmp_path)
    (made,) = tmp_path.glob("workspace/source/*/imagery/all.vrt.tif")
    assert 0 < made.stat().st_size <= found["bytes"]


def test_the_box_of_a_fetch_limits_its_tiles_and_image_tiles(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    node = '<node id="{}" lat="40.8" lon="{}"><tag k="amenity" v="cafe"/></node>'
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{node.format(1, -77.85)}{node.format(2, -77.75)}</osm>')
    for name in ("16_18595_24619", "16_18614_24619"):  # the tiles of the two nodes
        Image.new("RGB", (224, 224)).save(images / f"{name}.png")
    box = "-77.86,40.79,-77.84,40.81"
    asked = ["fetch", "--pbf", "x.osm", "--name", "place", "--imagery", images]
    run_main(*asked, f"--bbox={box}", cwd=tmp_path)
    printed = manifest(tmp_path)
    assert printed["parameters"]["bbox"] == [-77.86, 40.79, -77.84, 40.81]
    assert [name for name in printed["files"] if name.startswith("imagery/")] == ["imagery/16_18595_24619.png"]
    boxed = json.loads(run_main("tile", "--json", cwd=tmp_path))
    assert boxed["result"]["counts"]["tiles"] == 1
    assert json.loads(run_main("tile", f"--bbox={box}", "--json", cwd=tmp_path))["artifact"] == boxed["artifact"]
    wide = json.loads(run_main("tile", "--bbox=-180,-85,180,85", "--json", cwd=tmp_path))
    assert wide["result"]["counts"]["tiles"] == 2
    elsewhere = call(*asked, "--bbox=1,2,3,4", cwd=tmp_path)
    assert elsewhere.returncode == 1 and "none of the 2 image tiles" in elsewhere.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<osm version="0.6"><way id="1"><nd ref="1"/><tag k="a" v="b"/></way></osm>', "elements with coordinates"),
        ('<!DOCTYPE osm [<!ENTITY a "b">]><osm version="0.6"><node id="1" lat="1" lon="1"/></osm>', "declares XML"),
    ],
)
def test_xml_without_a_node_or_with_entities_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.osm").write_text(content)
    done = call("fetch", "--pbf", "x.osm", "--name", "x", cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and not list(tmp_path.glob("workspace/source/*@*"))


def test_the_hint_for_a_file_with_a_dangerous_name_is_quoted_and_its_name_legal(tmp_path: Path) -> None:
    name = "a;rm -rf x.osm.pbf"
    (tmp_path / name).write_bytes(b"")
    done = call("fetch", "--pbf", name, cwd=tmp_path)
    words = shlex.split(done.stderr.partition("hint: ")[2])
    assert done.returncode == 2 and words == ["geojepa", "fetch", "--pbf", name, "--name", "a-rm--rf-x"]


@pytest.mark.parametrize("date", ["2024-13-45", "yesterday", "20240101"])
def test_other_text_than_a_day_is_refused_before_the_network(tmp_path: Path, date: str) -> None:
    done = call("fetch", "--region", "x", "--date", date, "--geofabrik-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 2 and "is not a date" in done.stderr
    assert "hint: geojepa fetch --region x --geofabrik-url http://127.0.0.1:9 --date 2024-01-01" in done.stderr


def test_a_box_outside_of_the_extract_is_refused_with_the_extract_s_box(tmp_path: Path) -> None:
    bounds = '<osm version="0.6"><bounds minlat="0.5" minlon="1.5" maxlat="1.5" maxlon="2.5"/>'
    (tmp_path / "x.osm").write_text(XML.format("cafe").replace('<osm version="0.6">', bounds))
    done = call("fetch", "--pbf", "x.osm", "--name", "x", "--bbox=10,10,11,11", cwd=tmp_path)
    assert done.returncode == 1 and not list(tmp_path.glob("workspace/source/*@*"))
    hint = done.stderr.partition("hint: ")[2].strip()
    assert hint == "geojepa fetch --pbf x.osm --name x --bbox 1.5,0.5,2.5,1.5"
    assert call(*shlex.split(hint)[1:], cwd=tmp_path).returncode == 0
