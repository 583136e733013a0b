"""Resampled images are kept while a run makes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from geojepa_cli.grid import TileId
from geojepa_cli.store.image_log import IMAGE_BYTES, ImageLog, Row
from geojepa_cli.store.images import ImageStore

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


@pytest.mark.parametrize("cut", [1, 7, 20, 60, 90])
@pytest.mark.parametrize("name", ["images.pixels", "images.jsonl"])
def test_what_a_kill_tore_is_made_again(tmp_path: Path, name: str, cut: int) -> None:
    fill(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: -cut * (IMAGE_BYTES // 40 if name == "images.pixels" else 1)])
    with ImageLog(tmp_path) as log:
        kept = set(log.rows)
        assert kept < set(TILES)
        for number, tile in enumerate(TILES):
            if tile not in kept:
                log.add(tile, pixels(number), 1.0, 0)
        log.write(TILES, tmp_path / "images.h5", [])
    store = ImageStore(tmp_path / "images.h5")
    for tile, image in zip(store.zxy.tolist(), store.image, strict=True):
        assert np.array_equal(image, pixels(TILES.index(TileId(*tile))))


def test_a_line_before_its_pixels_counts_for_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "images.pixels").write_bytes(b"")
    with ImageLog(tmp_path) as log:
        assert TILES[3] not in log.rows and Row(-1) not in [log.rows.get(tile) for tile in TILES[:2]]
