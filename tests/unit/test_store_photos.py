"""`photos.h5`: written and read again, the same bytes each time, and refused when damaged."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import h5py
import mercantile
import numpy as np
import pytest

from geojepa_cli.errors import DataError
from geojepa_cli.store.photos import PhotoRow, PhotoStore, write_photos

NAMES = ["a.jpg", "ä/ö 2.jpg", "", "z" * 300]


def photos(n: int = 4, side: int = 32) -> Iterator[PhotoRow]:
    rng = np.random.default_rng(5)
    for row in range(n):
        pixels = rng.integers(0, 256, (3, side, side), np.uint8)
        heading, view = (np.nan, np.nan) if row == 1 else (90.0 * row, 60.0)
        yield PhotoRow(NAMES[row], 13.1954 + row, 55.7 - row, heading, view, pixels)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    assert write_photos(tmp_path / "photos.h5", photos(), 32) == 4
    return tmp_path / "photos.h5"


def test_photos_are_read_as_they_were_written(path: Path) -> None:
    for store in (PhotoStore(path), pickle.loads(pickle.dumps(PhotoStore(path)))):
        assert len(store) == 4 and store.size_px == 32
        for row, photo in enumerate(photos()):
            assert (store.name(row), store.lon[row], store.lat[row]) == (photo.name, photo.lon, photo.lat)
            angles = [store.heading[row], store.field_of_view[row]]
            assert np.array_equal(angles, [photo.heading, photo.field_of_view], equal_nan=True)
            assert np.array_equal(store.image[row], photo.pixels)


def test_the_same_photos_give_the_same_bytes_and_leave_no_other_file(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again/photos.h5"
    again.parent.mkdir()
    write_photos(again, photos(), 32)
    assert again.read_bytes() == path.read_bytes()
    assert [file.name for file in again.parent.iterdir()] == ["photos.h5"]


@pytest.mark.parametrize("zoom", [14, 16, 18])
def test_the_tiles_of_photos_are_those_of_mercantile(path: Path, zoom: int) -> None:
    store = PhotoStore(path)
    expected = [mercantile.tile(lon, lat, zoom) for lon, lat in zip(store.lon, store.lat, strict=True)]
    assert store.tiles(zoom).tolist() == [[zoom, tile.x, tile.y] for tile in expected]


def test_a_heading_that_rounds_to_a_full_turn_is_north(tmp_path: Path) -> None:
    (photo,) = photos(1)
    write_photos(tmp_path / "photos.h5", [photo._replace(heading=359.99999999)], 32)
    assert PhotoStore(tmp_path / "photos.h5").heading.tolist() == [0.0]


def test_no_photos_are_a_file_without_rows(tmp_path: Path) -> None:
    assert write_photos(tmp_path / "photos.h5", [], 32) == 0
    store = PhotoStore(tmp_path / "photos.h5")
    assert len(store) == 0 and store.tiles(16).shape == (0, 3)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("lon", value) for value in (np.nan, np.inf, 180.1)),
        *(("lat", value) for value in (np.nan, -90.1)),
        *(("heading", value) for value in (-0.1, 360.0, np.inf)),
        *(("field_of_view", value) for value in (0.0, 360.1, -np.inf)),
        *(("name", value) for value in (1, 2**63, 2**64 - 1)),
    ],
)
def test_a_value_out_of_range_is_refused(path: Path, column: str, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file[column][-1 if column == "name" else 2] = value
    with pytest.raises(DataError, match="is damaged") as caught:
        PhotoStore(path)
    assert str(caught.value.hint) == "geojepa artifacts --verify"


def test_photos_that_are_no_squares_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["image"]
        file.create_dataset("image", data=np.zeros((4, 3, 32, 33), np.uint8))
    with pytest.raises(DataError, match="33 × 32 px"):
        PhotoStore(path)
