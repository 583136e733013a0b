"""`geojepa fetch`: what it publishes, what it refuses, and what it says without a network."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import artifact_names, geojepa, run
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
    ("arguments", "code", "told"),
    [
        ([], 2, "either --region or --pbf"),
        (["--pbf", "x.osm", "--region", "california"], 2, "either --region or --pbf"),
        (["--pbf", "x.osm"], 2, "geojepa fetch --pbf x.osm --name x"),
        (["--pbf", "absent.osm", "--name", "a"], 2, "does not exist"),
        (["--pbf", "x.osm", "--name", "a/b"], 2, "is not a name"),
        (["--pbf", "x.osm", "--name", "a", "--imagery", "absent"], 2, "is not a directory"),
        (["--pbf", "page.osm.pbf", "--name", "a"], 1, "HTML page"),
        (["--pbf", "empty.osm.pbf", "--name", "a"], 1, "is empty"),
        (["--pbf", "page.osm.pbf", "--name", "a", "--dry-run"], 1, "HTML page"),
    ],
)
def test_what_cannot_be_fetched_is_refused_and_nothing_published(
    tmp_path: Path, extract: Path, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "page.osm.pbf").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "empty.osm.pbf").write_bytes(b"")
    done = geojepa("fetch", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def small(path: Path) -> None:
    Image.new("RGB", (100, 100)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("16_1_2.png", small, "100 × 100 px, expected 224 × 224"),
        ("16_1_2.webp", lambda path: path.write_text("<!DOCTYPE html><html></html>"), "cannot be decoded"),
        ("16_70000_2.png", lambda path: Image.new("RGB", (224, 224)).save(path), "outside the grid"),
        ("16_1_2.webp", lambda path: path.mkdir(), "cannot be decoded"),
        ("ATTRIBUTION.txt", lambda path: path.write_bytes(b"\xa9 USDA"), "not UTF-8"),
    ],
)
def test_bad_image_tiles_are_refused_by_name_before_anything_is_published(
    tmp_path: Path, extract: Path, name: str, make: Callable[[Path], object], told: str
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (224, 224)).save(images / "16_1_1.png")
    make(images / name)
    done = geojepa("fetch", "--pbf", extract, "--name", "place", "--imagery", images, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert told in done.stderr and f"`{images / name}`" in done.stderr.replace("\n", "")
    assert "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_dry_run_of_a_file_publishes_nothing(tmp_path: Path, extract: Path) -> None:
    assert "would copy" in run("fetch", "--pbf", extract, "--name", "place", "--dry-run", cwd=tmp_path)
    assert not (tmp_path / "workspace").exists()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/index.json"


def test_a_dry_run_without_a_network_ends_well_and_says_so(tmp_path: Path) -> None:
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


def test_a_dry_run_with_an_index_at_hand_names_the_file(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    index.write_text(json.dumps(INDEX))
    asked = ["fetch", "--dry-run", "--region", "california", "--geofabrik-url", index]
    answer = json.loads(run(*asked, "--json", cwd=tmp_path))
    assert answer["result"]["regions"][0]["url"] == "http://127.0.0.1:9/x.osm.pbf"
    assert "us/california" in run(*asked, cwd=tmp_path)
    mistyped = geojepa("fetch", "--dry-run", "--region", "californa", "--geofabrik-url", index, cwd=tmp_path)
    assert mistyped.returncode == 2 and "did you mean `california`" in mistyped.stderr
