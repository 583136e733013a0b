"""`fetch --imagery naip` and `tile` against a local STAC API, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import stac_server
from commandline import COMMAND, artifact_names, call, run_main
from pyproj import Transformer
from rasterio.transform import from_origin

from geojepa_cli.grid import TileId, tile_of
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scenes import inspect_scene
from geojepa_cli.store.images import ImageStore

LON, LAT = -77.85, 40.8
STEP = 360 / 2**16
NODE = '<node id="{}" lat="{}" lon="{}"><tag k="amenity" v="cafe"/></node>'
SCENES = ("m_4007701_ne_18_060_20210704", "m_4007701_nw_18_060_20210704")


@pytest.fixture
def server(tmp_path: Path, shared: Path) -> Iterator[stac_server.Planetary]:
    """Two scenes side by side, each over three of the six tiles that hold a node; and an older one that nobody asks
    for. The extract is `x.osm`."""
    nodes = "".join(NODE.format(i + 1, LAT, LON + i * STEP) for i in range(6))
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{nodes}</osm>')
    templates = stac_server.recorded(shared, "naip-search-intersects")
    first = tile_of(LON, LAT, 16)
    with stac_server.serve() as running:
        for number, name in enumerate(SCENES):
            west = (first.x + 3 * number) * STEP - 180
            path = scene(tmp_path / f"{name}.tif", west, west + 3 * STEP)
            running.add(path, templates[number], date="2021-07-04")
        running.add(path, templates[9], name="m_4007701_nw_18_060_20180704", date="2018-07-04")
        yield running


def scene(path: Path, west: float, east: float) -> Path:
    """Noise of 2 m from one meridian to another, around the nodes."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:26918", always_xy=True).transform([west, east], [LAT, LAT])
    width = int((x[1] - x[0]) / 2)
    data = np.random.default_rng(len(path.name)).integers(1, 256, (4, 600, width), np.uint8)
    profile = {"driver": "GTiff", "width": width, "height": 600, "count": 4, "dtype": "uint8", "crs": "EPSG:26918"}
    with rasterio.open(path, "w", **profile, transform=from_origin(x[0], y[0] + 600, 2, 2)) as out:
        out.write(data)
    return path


def fetch(folder: Path, server: stac_server.Planetary, *more: str) -> subprocess.CompletedProcess[str]:
    asked = ("fetch", "--pbf", "x.osm", "--name", "place", "--imagery", "naip", "--stac-url", server.url)
    return call(*asked, *more, cwd=folder)


def images(folder: Path) -> Path:
    (path,) = folder.glob("workspace/images/*[0-9a-f]/images.h5")
    return path


def check(folder: Path, tiles: int) -> None:
    """Every image is what the files themselves give."""
    store = ImageStore(images(folder))
    mosaic = Mosaic([inspect_scene(folder / f"{name}.tif") for name in SCENES])
    for zxy, image in zip(store.zxy.tolist(), store.image, strict=True):
        expected = mosaic.picture(TileId(*zxy))
        assert expected is not None and np.array_equal(image, expected.pixels)
    mosaic.close()
    assert len(store) == tiles


def test_fetch_finds_naip_and_tile_reads_it(tmp_path: Path, server: stac_server.Planetary) -> None:
    done = fetch(tmp_path, server)
    assert done.returncode == 0, done.stderr
    assert server.ranges == []  # not a byte of an image
    (manifest,) = tmp_path.glob("workspace/source/*/manifest.json")
    printed = json.loads(manifest.read_text())
    assert sorted(printed["files"]) == ["imagery/naip.json", "map.osm"] and printed["counts"]["scenes"] == 2
    assert any("USDA" in line for line in printed["attribution"])
    made = call("tile", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    check(tmp_path, 6)
    printed = json.loads(images(tmp_path).with_name("manifest.json").read_text())
    assert [scene["name"] for scene in printed["scenes"]] == [f"{name}.tif" for name in SCENES]
    assert {scene["date"] for scene in printed["scenes"]} == {"2021-07-04"}
    assert any("USDA" in line for line in printed["attribution"]) and printed["parameters"] == {"zoom": 16}
    traffic = json.loads(images(tmp_path).with_name("timing.json").read_text())["traffic"]
    assert traffic["bytes"] == sum(one.sent for one in server.ranges) and traffic["requests"] == len(server.requests)
    assert f"in {traffic['requests']:,} requests" in made.stderr.replace("\n", " ")
    assert "up to date" in call("tile", cwd=tmp_path).stderr


def test_naip_is_searched_around_all_bounds_and_a_box_may_lie_in_any(
    tmp_path: Path, server: stac_server.Planetary
) -> None:
    """JOSM writes one `<bounds>` for each download; here one around the first node and one around the last."""
    half, last = STEP / 4, LON + 5 * STEP
    boxes = [(lon - half, LAT - half, lon + half, LAT + half) for lon in (LON, last)]
    bounds = "".join(f'<bounds minlon="{w}" minlat="{s}" maxlon="{e}" maxlat="{n}"/>' for w, s, e, n in boxes)
    nodes = NODE.format(1, LAT, LON) + NODE.format(2, LAT, last)
    (tmp_path / "x.osm").write_text(f'<osm version="0.6" generator="JOSM">{bounds}{nodes}</osm>')
    assert fetch(tmp_path, server).returncode == 0
    assert server.searches[-1]["bbox"] == pytest.approx([boxes[0][0], boxes[0][1], boxes[1][2], boxes[1][3]])
    run_main("tile", cwd=tmp_path)
    check(tmp_path, tiles=2)  # each place has its image, out of another scene
    second = ",".join(str(value) for value in boxes[1])
    done = call("fetch", "--pbf", "x.osm", "--name", "second", f"--bbox={second}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_images_are_joined_to_the_tiles(tmp_path: Path, server: stac_server.Planetary) -> None:
    from geojepa_cli.stages.joined_images import joined_images
    from geojepa_cli.workspace.workspace import Workspace

    fetch(tmp_path, server)
    run_main("tile", cwd=tmp_path)
    run_main("process", "--text-encoder", "none", cwd=tmp_path)
    workspace = Workspace(tmp_path / "workspace")
    joined = joined_images(workspace, workspace.find("processed", "place"))
    assert joined is not None and joined.path == images(tmp_path).parent


def test_a_year_limits_the_search(tmp_path: Path, server: stac_server.Planetary) -> None:
    assert fetch(tmp_path, server, "--year", "2018").returncode == 0
    (path,) = tmp_path.glob("workspace/source/*/imagery/naip.json")
    assert [item["id"] for item in json.loads(path.read_text())["features"]] == ["m_4007701_nw_18_060_20180704"]


def test_a_tile_whose_imagery_failed_is_listed_and_read_again_by_the_next_run(
    tmp_path: Path, server: stac_server.Planetary
) -> None:
    fetch(tmp_path, server)
    lost = f"/naip/{SCENES[1]}.tif"
    content = server.files.pop(lost)
    done = call("tile", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    printed = done.stderr.replace("\n", " ")
    assert "answered 404" in printed and "--skip-failed" in printed and "images needed in total: 6" in printed
    assert not list(tmp_path.glob("workspace/images/*/manifest.json"))
    (listed,) = tmp_path.glob("workspace/images/*.partial/failed.txt")
    failed = [line.partition("\t")[0] for line in listed.read_text().splitlines()]
    first = tile_of(LON, LAT, 16)
    assert {TileId(16, first.x + i, first.y).name for i in (4, 5)} <= set(failed) and len(failed) < 6

    skipped = call("tile", "--skip-failed", cwd=tmp_path)
    assert skipped.returncode == 0, skipped.stderr
    check(tmp_path, 6 - len(failed))
    manifest = json.loads(images(tmp_path).with_name("manifest.json").read_text())
    assert manifest["parameters"]["without"] == sorted(failed) and manifest["counts"]["failed"] == len(failed)

    server.files[lost] = content
    again = call("tile", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"resuming: {6 - len(failed)} of 6 tiles are done" in again.stderr
    newest = max(tmp_path.glob("workspace/images/*/images.h5"), key=lambda path: path.stat().st_mtime_ns)
    assert len(ImageStore(newest)) == 6


def test_a_killed_tile_is_resumed(tmp_path: Path, server: stac_server.Planetary) -> None:
    """The server stops in the middle of the pixels of the second scene, and the run is killed there."""
    fetch(tmp_path, server)
    lost = f"/naip/{SCENES[1]}.tif"
    server.statuses[lost].extend([503] * 99)
    command = [*COMMAND, "tile"]
    running = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    lines: list[Path] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (lines and lines[0].read_bytes().count(b"\n") > 1):
        lines = list(tmp_path.glob("workspace/images/*.partial/images.jsonl"))
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    kept = lines[0].read_bytes().count(b"\n") - 1  # after the header
    assert 0 < kept < 6
    server.statuses.clear()
    done = call("tile", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"resuming: {kept} of 6 tiles are done" in done.stderr
    check(tmp_path, 6)


def test_without_naip_the_source_has_no_imagery_and_without_the_api_there_is_a_hint(
    tmp_path: Path, server: stac_server.Planetary
) -> None:
    server.items.clear()
    done = fetch(tmp_path, server)
    assert done.returncode == 0 and "there are no NAIP images" in done.stderr
    run_main("tile", cwd=tmp_path)
    assert [name.partition("/")[0] for name in artifact_names(tmp_path / "workspace")] == ["source", "tiles"]
    asked = ("fetch", "--pbf", "x.osm", "--name", "b", "--imagery", "naip")
    gone = call(*asked, "--stac-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert gone.returncode == 1 and "--imagery none" in gone.stderr and "Traceback" not in gone.stderr


def test_a_dry_run_counts_the_scenes(tmp_path: Path, server: stac_server.Planetary) -> None:
    done = fetch(tmp_path, server, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)["result"]
    # six tiles in a row, each of 3 × 224 × 224 bytes
    expected = {"images": 0, "scenes": 2, "dates": ["2021-07-04", "2021-07-04"], "bytes": 903_168, "at_most": True}
    assert printed["scenes"] == 2 and printed["imagery"] == expected
    assert "2 scenes of 2021-07-04, at most 0.9 MiB of disk" in fetch(tmp_path, server, "--dry-run").stdout
    assert not (tmp_path / "workspace").exists()


def test_year_without_naip_and_a_box_across_the_antimeridian_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{NODE.format(1, LAT, LON)}</osm>')
    asked = ("fetch", "--pbf", "x.osm", "--name", "a")
    for more, message in (
        ("--year=2020", "`--year` applies only to imagery from a server"),
        ("--bbox=179,-17,-179,-16", "crosses the antimeridian"),
    ):
        done = call(*asked, more, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr.replace("\n", " ")
