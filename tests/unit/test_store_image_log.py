"""Resampled images are logged, so that a killed run is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from geojepa_cli.grid import TileId
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.image_log import LINES_FILE, PIXELS_FILE, ImageLog
from geojepa_cli.store.images import ImageStore

IMAGE_BYTES = 3 * 224 * 224
TILES = [TileId(16, 1, 1), TileId(16, 2, 1), TileId(16, 9, 9), TileId(16, 3, 70)]


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, 224, 224), np.uint8)


def fill(folder: Path) -> None:
    """In another order than that of the tiles; the third has no imagery."""
    with ImageLog(folder) as log:
        log.add(TILES[3], pixels(3), 0.25, 1)
        log.add_empty(TILES[2])
        log.add(TILES[0], pixels(0), 1.0, 0)
    with ImageLog(folder) as log:
        log.add(TILES[1], pixels(1), 1 / 3, 2)


def test_images_come_in_the_order_of_the_tiles_whenever_they_were_made(tmp_path: Path) -> None:
    fill(tmp_path)
    with ImageLog(tmp_path) as log:
        assert set(log.rows) == set(TILES)
        assert log.write(TILES, tmp_path / "images.h5", [{"name": "a"}]) == 3
        log.remove()
    store = ImageStore(tmp_path / "images.h5")
    assert store.zxy.tolist() == [[16, 1, 1], [16, 2, 1], [16, 3, 70]]
    assert all(np.array_equal(image, pixels(number)) for image, number in zip(store.image, (0, 1, 3), strict=True))
    with h5py.File(tmp_path / "images.h5") as file:
        assert file["scene"][:].tolist() == [0, 2, 1]
        assert file["valid"][:].tolist() == pytest.approx([1.0, 1 / 3, 0.25])
    assert [path.name for path in tmp_path.iterdir()] == ["images.h5"]


def finish(folder: Path) -> set[TileId]:
    """Makes what the log lacks, writes all, and checks every image; returns what the log had."""
    with ImageLog(folder) as log:
        kept = set(log.rows)
        for number, tile in enumerate(TILES):
            if tile not in kept:
                log.add(tile, pixels(number), 1.0, 0)
        log.write(TILES, folder / "images.h5", [])
    store = ImageStore(folder / "images.h5")
    for tile, image in zip(store.zxy.tolist(), store.image, strict=True):
        assert np.array_equal(image, pixels(TILES.index(TileId(*tile))))
    return kept


@pytest.mark.parametrize("cut", [1, 7, 20, 60, 90])
@pytest.mark.parametrize("name", [PIXELS_FILE, LINES_FILE])
def test_images_that_a_kill_left_unfinished_are_made_again(tmp_path: Path, name: str, cut: int) -> None:
    fill(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: -cut * (IMAGE_BYTES // 40 if name == PIXELS_FILE else 1)])
    kept = finish(tmp_path)
    assert kept < set(TILES) and (TILES[3] in kept or cut == 90)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_image_whose_bytes_changed_is_made_again_with_all_after_it(tmp_path: Path, position: int) -> None:
    """As after a power failure, which may leave zeros in a file."""
    fill(tmp_path)
    with (tmp_path / PIXELS_FILE).open("r+b") as file:
        file.seek(position * IMAGE_BYTES + 77_777)
        file.write(bytes(1000))
    assert len(finish(tmp_path) - {TILES[2]}) == position


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_line_whose_values_changed_is_not_used(tmp_path: Path, number: int) -> None:
    """The share and the scene of an image, and the tile."""
    fill(tmp_path)
    lines = (tmp_path / LINES_FILE).read_bytes().splitlines(keepends=True)
    values = json.loads(lines[number])
    for index, value in ((5, 3), (4, 0.123), (2, 55)):
        changed = [*values[:index], value, *values[index + 1 :]]
        damaged = [*lines[:number], json.dumps(changed).encode() + b"\n", *lines[number + 1 :]]
        (tmp_path / LINES_FILE).write_bytes(b"".join(damaged))
        with ImageLog(tmp_path) as log:
            assert len(log.rows) == number - 1
        (tmp_path / PIXELS_FILE).unlink()
        (tmp_path / LINES_FILE).unlink()
        fill(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[1,2]\n" * 9, b"[" * 100_000 + b"\n", b"\xff\xfe", bytes(1000), b"[1e400]\n"]
)
def test_a_foreign_file_in_the_place_of_the_log_is_replaced(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path)
    (tmp_path / LINES_FILE).write_bytes(content)
    assert finish(tmp_path) == set()


@pytest.mark.parametrize("name", [PIXELS_FILE, LINES_FILE])
@pytest.mark.parametrize("make", ["folder", "link", "missing"])
def test_a_folder_or_link_in_the_place_of_the_log_is_replaced(tmp_path: Path, name: str, make: str) -> None:
    fill(tmp_path)
    path, other = tmp_path / name, tmp_path / "other"
    path.rename(other)
    content = other.read_bytes()
    if make == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif make == "link":
        path.symlink_to(other)
    assert finish(tmp_path) == set()
    assert other.read_bytes() == content


@pytest.mark.parametrize(
    "log", [{"key": "other"}, {"form": ImageForm(224, "rgb", "webp")}, {"form": ImageForm(224, "rgbn")}]
)
def test_a_log_of_other_images_is_not_used(tmp_path: Path, log: dict[str, Any]) -> None:
    fill(tmp_path)
    with ImageLog(tmp_path, **log) as other:
        assert other.rows == {}
