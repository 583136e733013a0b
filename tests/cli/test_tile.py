"""`geojepa tile` and `process`: image tiles of another zoom, options out of range, and damaged tiles."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from commandline import artifact_names, call, run_main
from PIL import Image

XML = '<osm version="0.6"><node id="1" lat="40.8" lon="-77.85"><tag k="amenity" v="cafe"/></node></osm>'


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    """A folder with a workspace that holds `source/place`: one node, and image tiles of zoom 16 and 15."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("16_18595_24593", "16_18595_24594", "15_9297_12296"):
        Image.new("RGB", (224, 224)).save(images / f"{name}.png")
    (tmp_path / "x.osm").write_text(XML)
    run_main("fetch", "--pbf", "x.osm", "--name", "place", "--imagery", images, cwd=tmp_path)
    return tmp_path


def test_image_tiles_of_other_zooms_are_counted_and_an_empty_artifact_is_not_published(fetched: Path) -> None:
    done = call("tile", "--zoom", "17", "--json", cwd=fetched)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["images"] is None
    printed = done.stderr.replace("\n", " ")
    assert "warning:" in printed and "1 of zoom 15, 2 of zoom 16" in printed and "no images are published" in printed
    assert not [name for name in artifact_names(fetched / "workspace") if name.startswith("images/")]


def test_image_tiles_of_the_zoom_are_used_and_the_others_counted(fetched: Path) -> None:
    done = call("tile", "--zoom", "16", "--json", cwd=fetched)
    printed = done.stderr.replace("\n", " ")
    assert "1 of zoom 15" in printed and "2 image tiles are used" in printed
    (manifest,) = fetched.glob("workspace/images/*/manifest.json")
    assert json.loads(manifest.read_text())["counts"] == {"images": 2}


NODE = '<node id="{0}" version="1" lat="{1}" lon="{2}">{3}</node>'
CAFE = '<tag k="amenity" v="cafe"/>'
#: Nodes from west to east, every other one a cafe, and a road along them all.
NODES = [NODE.format(i, 40.8, -77.85 + 0.002 * i, CAFE if i % 2 else "") for i in range(1, 11)]
REFS = "".join(f'<nd ref="{i}"/>' for i in range(1, 11))
ROAD = f'<way id="5" version="1">{REFS}<tag k="highway" v="primary"/></way>'
AREA = {"type": "Polygon", "coordinates": [[[-77.85, 40.79], [-77.843, 40.79], [-77.843, 40.81], [-77.85, 40.79]]]}


def fetch(folder: Path, name: str, nodes: list[str]) -> None:
    (folder / f"{name}.osm").write_text(f'<osm version="0.6">{"".join(nodes)}{ROAD}</osm>')
    run_main("fetch", "--pbf", f"{name}.osm", "--name", name, cwd=folder)


def tiles_of(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"workspace/tiles/{name}@*/tiles.h5")
    return path


def test_regions_that_share_a_border_are_merged_to_what_one_extract_of_both_gives(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    fetch(tmp_path, "whole", NODES)
    regions = ["--region", "east", "--region", "west"]
    answer = json.loads(run_main("tile", *regions, "--merge", "both", "--json", cwd=tmp_path))
    assert answer["artifact"].startswith("both@") and answer["result"]["counts"]["objects"] == 6
    run_main("tile", "--region", "whole", cwd=tmp_path)
    assert tiles_of(tmp_path, "both").read_bytes() == tiles_of(tmp_path, "whole").read_bytes()
    printed = call("tile", "--region", "west", "--region", "east", "--merge", "both", cwd=tmp_path)
    assert "up to date" in printed.stderr
    run_main("process", "--region", "both", "--text-encoder", "none", cwd=tmp_path)


def test_a_merged_region_can_have_drawn_images(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    regions = ["--region", "east", "--region", "west", "--merge", "both"]
    answer = json.loads(run_main("tile", *regions, "--imagery", "drawn", "--json", cwd=tmp_path))
    (manifest,) = tmp_path.glob("workspace/images/*/manifest.json")
    made = json.loads(manifest.read_text())
    assert answer["result"]["images"] == f"both@{made['id']}" and made["counts"]["pieces drawn"] > 0
    assert [ref.split("/")[0] for ref in made["inputs"]] == ["source", "source", "tiles"]
    run_main("process", "--region", "both", "--text-encoder", "none", cwd=tmp_path)
    run_main("artifacts", "--verify", cwd=tmp_path)


def test_one_region_or_a_name_that_is_taken_cannot_be_merged(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    for arguments, message in (
        (["--region", "west", "--merge", "both"], "at least two regions"),
        (["--region", "west", "--region", "east", "--merge", "west"], "a region with this name already exists"),
        (["--region", "west", "--region", "east", "--merge", "a/b"], "a/b"),
    ):
        done = call("tile", *arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr and "hint:" in done.stderr
    assert not (tmp_path / "workspace/tiles").exists()


def test_a_polygon_keeps_the_tiles_that_share_some_area_with_it(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES)
    (tmp_path / "area.geojson").write_text(json.dumps(AREA))
    corners = [f"  {lon}  {lat}" for lon, lat in AREA["coordinates"][0]]  # type: ignore[attr-defined]
    (tmp_path / "area.poly").write_text("\n".join(["area", "1", *corners, "END", "END", ""]))
    counts = {}
    for arguments in ([], ["--polygon", "area.geojson"], ["--polygon", "area.poly"]):
        answer = json.loads(run_main("tile", *arguments, "--json", cwd=tmp_path))
        counts[answer["artifact"]] = answer["result"]["counts"]
    whole, geojson, poly = counts.values()
    assert geojson == poly and whole["tiles"] > geojson["tiles"] > 0
    run_main("tile", cwd=tmp_path)
    (tmp_path / "copy.geojson").write_text(json.dumps(AREA))
    again = call("tile", "--polygon", "copy.geojson", "--json", cwd=tmp_path)
    assert "up to date" in again.stderr and json.loads(again.stdout)["artifact"] in counts


def test_incomplete_objects_are_counted(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES[:7])
    answer = json.loads(run_main("tile", "--json", cwd=tmp_path))
    assert answer["result"]["counts"]["objects_with_absent_members"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--polygon", "nowhere.geojson"], "`--polygon nowhere.geojson` is not a file"),
        (["--polygon", "x.osm", "--bbox=1,2,3,4"], "cannot be combined with"),
        (["--memory", "-5G"], "--memory"),
        (["--memory=-5G"], "`--memory -5G`"),
        (["--memory", "much"], "`--memory much`"),
        (["--memory", ""], "--memory"),
        (["--threads", "100000"], "`--threads 100000`"),
        (["--drop-tags", ""], "`--drop-tags` contains an empty tag key"),
        (["--keep-tags", " "], "`--keep-tags` contains an empty tag key"),
        (["--bbox=1,2,3"], "not a bounding box"),
        (["--bbox=nan,2,3,4"], "not a bounding box"),
    ],
)
def test_options_out_of_range_are_usage_errors(fetched: Path, arguments: list[str], message: str) -> None:
    done = call("tile", *arguments, cwd=fetched)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert not (fetched / "workspace/tiles").exists()


def test_a_missing_binary_is_a_usage_error(fetched: Path) -> None:
    done = call("tile", cwd=fetched, GEOJEPA_TILER="/nope")
    assert done.returncode == 2 and "`/nope`" in done.stderr and "GEOJEPA_TILER" in done.stderr
    assert not [name for name in artifact_names(fetched / "workspace") if name.startswith("tiles/")]


def test_the_hint_for_damaged_tiles_makes_them_again(fetched: Path) -> None:
    run_main("tile", cwd=fetched)
    (path,) = fetched.glob("workspace/tiles/place@*/tiles.h5")
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))  # of the size that the manifest says
    done = call("process", "--text-encoder", "none", cwd=fetched)
    assert done.returncode == 1, done.stderr
    hint = done.stderr.partition("hint:")[2]
    assert "geojepa tile --region place" in hint and "geojepa-tiler" not in hint
    assert hint.split()[:2] == ["rm", "-r"] and hint.split()[2] == str(path.parent.relative_to(fetched))
    path.unlink()
    (path.parent / "manifest.json").unlink()
    path.parent.joinpath("timing.json").unlink()
    path.parent.rmdir()  # what the hint's first half does
    run_main("tile", cwd=fetched)
    assert path.read_bytes() == whole
    run_main("process", "--text-encoder", "none", cwd=fetched)


def test_threads_beyond_any_machine_are_a_usage_error_of_process_too(fetched: Path) -> None:
    run_main("tile", cwd=fetched)
    done = call("process", "--threads", "100000", cwd=fetched)
    assert done.returncode == 2 and "`--threads 100000`" in done.stderr


def test_json_of_several_regions_is_one_document_with_a_list(fetched: Path) -> None:
    run_main("fetch", "--pbf", "x.osm", "--name", "other", cwd=fetched)
    regions = ["--region", "place", "--region", "other"]
    for command in (["tile"], ["process", "--text-encoder", "none"]):
        answer = json.loads(run_main(*command, *regions, "--json", cwd=fetched))
        assert [ref.partition("@")[0] for ref in answer["artifact"]] == ["place", "other"]
        assert [result["counts"]["pieces"] for result in answer["result"]] == [1, 1]


def paste_hint(stderr: str, folder: Path) -> None:
    """Does what the hint says, in a shell that knows `geojepa` only, and removal."""
    for command in stderr.partition("hint:")[2].strip().split(" && "):
        words = shlex.split(command)
        if words[:2] == ["rm", "-r"]:
            for path in sorted((folder / words[2]).iterdir()):
                path.unlink()
            (folder / words[2]).rmdir()
        else:
            assert words[0] == "geojepa", command
            run_main(*words[1:], cwd=folder)


FAR = {"type": "Polygon", "coordinates": [[[10.0, 10.0], [10.1, 10.0], [10.0, 10.1], [10.0, 10.0]]]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--region", "west", "--merge", "both"], "at least two regions"),
        (["--region", "west", "--region", "east", "--merge", "west"], "a region with this name already exists"),
        (["--region", "west", "--bbox=10,10,11,11"], "in the box"),
        (["--region", "west", "--polygon", "far away.geojson"], "in the polygon"),
        (
            ["--region", "west", "--region", "east", "--merge", "both", "--polygon", "far away.geojson"],
            "in the polygon",
        ),
        (["--region", "west", "--polygon", "our area.geojson", "--bbox=1,2,3,4"], "cannot be combined with"),
        (["--region", "west", "--threads", "257"], "--threads 257"),
        (["--region", "west", "--threads", "0"], "--threads"),
    ],
)
def test_a_hint_of_tile_works_when_it_is_pasted(tmp_path: Path, arguments: list[str], message: str) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    (tmp_path / "far away.geojson").write_text(json.dumps(FAR))
    (tmp_path / "our area.geojson").write_text(json.dumps(AREA))
    done = call("tile", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    paste_hint(done.stderr, tmp_path)
    assert len(list(tmp_path.glob("workspace/tiles/*/tiles.h5"))) == 1


@pytest.mark.parametrize("kept", [1.0, 0.5], ids=["garbage", "cut short"])
def test_the_hint_for_damaged_tiles_of_a_merged_region_makes_them_again(tmp_path: Path, kept: float) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    run_main("tile", "--region", "west", "--region", "east", "--merge", "both", cwd=tmp_path)
    path = tiles_of(tmp_path, "both")
    whole = path.read_bytes()
    path.write_bytes(b"x" * int(kept * len(whole)))
    done = call("process", "--region", "both", "--text-encoder", "none", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    paste_hint(done.stderr, tmp_path)
    assert path.read_bytes() == whole


def test_the_hint_for_a_damaged_extract_of_a_merged_region_names_its_region(tmp_path: Path) -> None:
    fetch(tmp_path, "west", NODES[:7])
    fetch(tmp_path, "east", NODES[4:])
    (extract,) = tmp_path.glob("workspace/source/west@*/map.osm")
    extract.write_bytes(extract.read_bytes().replace(b"</way>", b"</wax>"))
    done = call("tile", "--region", "west", "--region", "east", "--merge", "both", cwd=tmp_path)
    assert done.returncode == 1 and "west@" in done.stderr, done.stderr
    assert done.stderr.strip().endswith("&& geojepa fetch --pbf FILE --name west")


def test_the_hint_for_limits_that_exclude_each_other_gives_limits_that_work(fetched: Path) -> None:
    run_main("tile", cwd=fetched)
    run_main("process", "--text-encoder", "none", cwd=fetched)
    done = call("embed", "--model", "tagpool", "--min-entities", "9", "--max-entities", "3", cwd=fetched)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("geojepa embed --model tagpool --min-entities 9 --max-entities 9"), done.stderr
