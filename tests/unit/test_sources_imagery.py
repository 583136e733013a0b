"""Imagery of a folder: found, checked, copied, and refused with commands that help."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image
from rasterio.transform import from_origin
from scene_files import UTM, noise, write

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.sources.extract import inspect_extract
from geojepa_cli.sources.imagery import copy_source, inspect_imagery

XML = b"""<?xml version='1.0' encoding='UTF-8'?>
<osm version="0.6"><node id="1" lat="1" lon="2"><tag k="amenity" v="cafe"/></node></osm>
"""


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_source_holds_the_map_and_its_image_tiles(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("16_1_2.webp", "16_1_3.png"):
        Image.new("RGB", (224, 224)).save(images / name)
    (images / "readme.md").write_text("not an image")
    (images / "ATTRIBUTION.txt").write_text("USDA FPAC, public domain\n")
    extract = inspect_extract(written(tmp_path / "x", XML))
    imagery = inspect_imagery(images)
    target = tmp_path / "out"
    target.mkdir()
    copy_source(extract, imagery, target)
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()) == [
        "imagery/16_1_2.webp",
        "imagery/16_1_3.png",
        "map.osm",
    ]
    assert (target / "map.osm").read_bytes() == XML
    assert imagery.attribution == ["USDA FPAC, public domain"]


def test_an_extract_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x", XML)
    extract = inspect_extract(path)
    path.write_bytes(XML.replace(b"cafe", b"cave"))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="changed"):
        copy_source(extract, None, tmp_path / "out")


def test_the_digest_of_imagery_depends_on_names_and_contents(tmp_path: Path) -> None:
    def digest(name: str, shade: int) -> str:
        folder = tmp_path / f"{name}-{shade}"
        folder.mkdir()
        Image.new("RGB", (224, 224), (shade, 0, 0)).save(folder / f"{name}.png")
        return inspect_imagery(folder).sha256

    assert len({digest("16_1_2", 0), digest("16_1_3", 0), digest("16_1_2", 1)}) == 3


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_a_folder_without_image_tiles_is_refused(tmp_path: Path, make: object) -> None:
    make(tmp_path / "images")  # type: ignore[operator]
    with pytest.raises(GeojepaError) as caught:
        inspect_imagery(tmp_path / "images")
    assert "--imagery" in str(caught.value.hint)


@pytest.mark.parametrize("encoding", ["latin1", "utf-16"])
def test_an_attribution_in_another_encoding_is_refused_with_a_command_that_converts_it(
    tmp_path: Path, encoding: str
) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    Image.new("RGB", (224, 224)).save(folder / "16_1_2.png")
    note = written(folder / "ATTRIBUTION.txt", "© größer".encode(encoding))
    with pytest.raises(DataError, match="UTF-8") as caught:
        inspect_imagery(folder)
    assert str(note) in caught.value.message
    subprocess.run(["sh", "-ec", str(caught.value.hint)], check=True)
    assert inspect_imagery(folder).attribution == ["© größer"]


def test_tiles_and_scenes_in_one_folder_are_refused_with_commands_that_part_them(tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    Image.new("RGB", (224, 224)).save(folder / "16_1_2.png")
    write(folder / "a.tif", noise((3, 20, 20)), UTM, from_origin(5e5, 4e6, 9, 9))
    with pytest.raises(DataError, match="both image tiles") as caught:
        inspect_imagery(folder)
    subprocess.run(["sh", "-ec", str(caught.value.hint)], check=True)
    assert len(inspect_imagery(folder).scenes) == 1
    assert list(inspect_imagery(tmp_path / "my images-tiles").files) == ["imagery/16_1_2.png"]


def test_image_tiles_that_cannot_be_used_are_set_aside_by_the_hint(tmp_path: Path) -> None:
    """Too small, not an image, outside the grid, and a second image of a tile."""
    Image.new("RGB", (224, 224)).save(tmp_path / "16_1_2.png")
    Image.new("RGB", (224, 224)).save(tmp_path / "16_1_2.webp")
    Image.new("RGB", (100, 100)).save(tmp_path / "16_1_3.png")
    written(tmp_path / "16_1_4.png", b"<html>")
    written(tmp_path / "16_70000_1.png", b"")
    for _ in range(4):
        with pytest.raises(DataError) as caught:
            inspect_imagery(tmp_path)
        subprocess.run(["sh", "-ec", str(caught.value.hint)], check=True)
    assert list(inspect_imagery(tmp_path).files) == ["imagery/16_1_2.png"]
    assert len(list(tmp_path.glob("*.bak"))) == 4


def test_an_attribution_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    Image.new("RGB", (224, 224)).save(tmp_path / "16_1_2.png")
    written(tmp_path / "ATTRIBUTION.txt", b"\xef\xbb\xbfUSDA\r\n")
    assert inspect_imagery(tmp_path).attribution == ["USDA"]
