"""Georeferenced images resampled to tiles; pyproj and NumPy are the oracle."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin
from scene_files import LAT, LON, SIDE, TILE, UTM, WORLD_M, around, bilinear, noise, picture, project, write

from geojepa_cli.errors import DataError
from geojepa_cli.grid import tile_of
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scaling import Scaling, find_scaling
from geojepa_cli.sources.scenes import find_scenes, inspect_scene, newest_first, write_as_geotiff


@pytest.mark.parametrize(
    ("crs", "pixel"),
    [(UTM, 2.5), (UTM, 5.0), ("EPSG:4326", 2.8e-5), ("EPSG:4269", 6e-5), ("EPSG:3857", 3.0), ("EPSG:5070", 2.5)],
)
def test_a_tile_agrees_with_pyproj_and_numpy(tmp_path: Path, crs: str, pixel: float) -> None:
    transform, height, width = around(crs, pixel)
    data = noise((3, height, width))
    found = picture(write(tmp_path / "a.tif", data, crs, transform))
    assert found.valid.all()
    off = np.abs(found.pixels - bilinear(data.astype(np.float64), crs, transform))
    assert (off <= 2).mean() >= 0.99
    assert off.max() <= 3


def test_a_rotated_raster_agrees_too(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 2.5, margin=120)
    middle = (width / 2, height / 2)
    transform = transform * Affine.rotation(25, pivot=middle)
    data = noise((3, height, width))
    found = picture(write(tmp_path / "a.tif", data, UTM, transform))
    off = np.abs(found.pixels - bilinear(data.astype(np.float64), UTM, transform))
    assert found.valid.all() and (off <= 2).mean() >= 0.99


@pytest.mark.parametrize("overviews", [[], [2, 4]])
@pytest.mark.parametrize("pixel", [0.3, 0.6, 1.0])
def test_a_finer_raster_is_averaged(tmp_path: Path, pixel: float, overviews: list[int]) -> None:
    """A chequered pattern finer than the tile's pixels becomes grey, and a slope stays what it is."""
    transform, height, width = around(UTM, pixel)
    chequered = np.indices((height, width)).sum(0) % 2 * 200
    slope = np.tile(np.linspace(20, 220, width), (height, 1))
    data = np.stack([chequered, slope, slope]).astype(np.uint8)
    path = write(tmp_path / "a.tif", data, UTM, transform)
    if overviews:
        with rasterio.open(path, "r+") as out:
            out.build_overviews(overviews, rasterio.enums.Resampling.average)
    found = picture(path)
    inner = found.pixels[:, 2:-2, 2:-2].astype(float)
    assert np.abs(inner[0] - 100).mean() < 15 and found.valid.all()
    assert np.abs(inner[1:] - bilinear(data.astype(float), UTM, transform)[1:, 2:-2, 2:-2]).max() <= 2


@pytest.mark.parametrize(("crs", "pixel"), [(UTM, 1.2), ("EPSG:4326", 1.2e-5), (UTM, 2.5)])
def test_bright_points_are_where_the_grid_has_them(tmp_path: Path, crs: str, pixel: float) -> None:
    transform, height, width = around(crs, pixel)
    generator = np.random.default_rng(3)
    for number in range(12):
        # a place in the tile, by the formulas of the grid: column and row in tiles to longitude and latitude
        place = generator.uniform(0.05, 0.95, 2)
        lon = (TILE.x + place[0]) / 2**16 * 360 - 180
        lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (TILE.y + place[1]) / 2**16))))
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        column, row = ~transform * (x, y)
        data = np.zeros((3, height, width), np.uint8)
        data[:, int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2] = 255
        found = picture(write(tmp_path / f"{number}.tif", data, crs, transform)).pixels[0].astype(float)
        rows, columns = np.indices(found.shape) + 0.5
        seen = (columns * found).sum() / found.sum(), (rows * found).sum() / found.sum()
        assert np.abs(np.array(seen) - place * SIDE).max() < 1


def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth picture that two scenes of one place share, far from black."""
    return 130 + 50 * np.sin(x / 90) + 50 * np.cos(y / 70)


@pytest.mark.parametrize("how", ["nodata", "alpha", "mask", "nan"])
def test_two_scenes_with_borders_of_no_data_give_no_seam(tmp_path: Path, how: str) -> None:
    transform, height, width = around(UTM, 2.5)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    values = field(*(transform * (columns, rows)))
    paths = []
    for name, here in (
        ("20200101", columns < width * 0.55 + 9 * np.sin(rows / 9)),
        ("20190101", columns > width * 0.4),
    ):
        data = np.stack([values] * 3)
        path = tmp_path / f"{name}.tif"
        if how == "nan":
            data[:, ~here] = np.nan
            write(path, data.astype(np.float32), UTM, transform)
        else:
            data = np.where(here, np.rint(data), 0).astype(np.uint8)
            if how == "alpha":
                data = np.concatenate([data, here[None].astype(np.uint8) * 255])
            write(path, data, UTM, transform, nodata=0 if how == "nodata" else None)
            with rasterio.open(path, "r+") as out:
                if how == "alpha":
                    out.colorinterp = [*out.colorinterp[:3], ColorInterp.alpha]
                elif how == "mask":
                    out.write_mask(here)
        paths.append(path)
    scenes = newest_first([inspect_scene(path) for path in paths])
    mosaic = Mosaic(scenes, Scaling(0.0, 255.0) if how == "nan" else None)
    found = mosaic.picture(TILE)
    mosaic.close()
    assert found is not None and found.valid.all() and all(scene.mask.applies == (how != "nan") for scene in scenes)
    expected = field(*project(UTM))
    assert np.abs(found.pixels - expected).max() <= 3


def test_the_newer_of_two_dates_is_shown(shared: Path) -> None:
    older, newer = (shared / f"naip/geotiff/m_4709963_se_14_1_{date}.tif" for date in ("20180716", "20200831"))
    tile = tile_of(-99.15478, 47.02036, 16)
    both, one, other = picture(older, newer, tile=tile), picture(newer, tile=tile), picture(older, tile=tile)
    assert np.array_equal(both.pixels, one.pixels) and not np.array_equal(both.pixels, other.pixels)
    assert [inspect_scene(path).date for path in (older, newer)] == ["2018-07-16", "2020-08-31"]


def test_the_valid_share_is_that_of_the_footprint(shared: Path) -> None:
    path = shared / "naip/geotiff/m_3211605_ne_11_060_20200415.tif"
    found = picture(path, tile=tile_of(-116.381687, 32.971671, 16))
    with rasterio.open(path) as source:
        corners = [source.transform * at for at in ((0, 0), (266, 0), (266, 204), (0, 204))]
    x, y = Transformer.from_crs(UTM, "EPSG:3857", always_xy=True).transform(*zip(*corners, strict=True))
    tile = tile_of(-116.381687, 32.971671, 16)
    side = WORLD_M / 2**16
    west, north = tile.x * side - WORLD_M / 2, WORLD_M / 2 - tile.y * side
    box = shapely.box(west, north - side, west + side, north)
    share = shapely.Polygon(list(zip(x, y, strict=True))).intersection(box).area / box.area
    assert found.valid.mean() == pytest.approx(share, rel=0.05)
    assert (found.pixels[:, ~found.valid] == 0).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_more_than_8_bits_are_scaled_linearly_from_percentiles_to_bytes(tmp_path: Path, dtype: str) -> None:
    transform, height, width = around(UTM, 5.0)
    grey = noise((3, height, width)).astype(np.float64)
    data = (grey * 40 + (300 if dtype != "float32" else -0.25)).astype(dtype)
    path = write(tmp_path / "a.tif", data, UTM, transform)
    low, high = np.percentile(data, [2, 98])
    scaling = find_scaling([inspect_scene(path)])
    assert scaling == pytest.approx((low, high), rel=0.01)
    expected = np.clip((bilinear(data.astype(np.float64), UTM, transform) - low) / (high - low) * 255, 0, 255)
    assert (np.abs(picture(path).pixels - expected) <= 2).mean() >= 0.99


def test_one_range_serves_all_scenes(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 5.0)
    dark = write(tmp_path / "a.tif", noise((3, height, width)).astype(np.uint16), UTM, transform)
    bright = write(tmp_path / "b.tif", noise((3, height, width)).astype(np.uint16) * 200, UTM, transform)
    scaling = find_scaling([inspect_scene(dark), inspect_scene(bright)])
    assert scaling is not None and scaling.low < 20 and scaling.high > 45_000


def test_a_vrt_becomes_a_geotiff_of_the_same_pixels(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 5.0)
    path = write(tmp_path / "a.tif", noise((3, height, width)), UTM, transform)
    rasterio.shutil.copy(str(path), str(tmp_path / "b.vrt"), driver="VRT")
    assert [found.name for found in find_scenes(tmp_path)] == ["a.tif", "b.vrt"]
    write_as_geotiff(tmp_path / "b.vrt", tmp_path / "c.tif")
    assert np.array_equal(picture(tmp_path / "c.tif").pixels, picture(path).pixels)


def test_a_truncated_scene_is_an_error_and_not_black(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 1.0)
    path = write(tmp_path / "a.tif", noise((3, height, width)), UTM, transform, compress="deflate", tiled=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match="cannot be read"):
        picture(path)


def test_a_scene_outside_of_a_tile_gives_no_picture(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 5.0)
    scene = inspect_scene(write(tmp_path / "a.tif", noise((3, height, width)), UTM, transform))
    mosaic = Mosaic([scene], None)
    for lon, lat in ((0, 0), (LON + 1, LAT), (LON, -LAT), (LON + 180, LAT), (179.9, 85)):
        assert mosaic.picture(tile_of(lon, lat, 16)) is None
    mosaic.close()


@pytest.mark.parametrize("west", [177.99, -182.01])
def test_degrees_past_180_are_read_on_both_sides_of_the_antimeridian(tmp_path: Path, west: float) -> None:
    """A slope to the east, from 177.99 to 182.01 degrees (also written as -182.01 to -177.99): the same at ±180."""
    transform, columns = from_origin(west, 0.5, 0.01, 0.01), np.arange(402)
    slope = np.tile(columns // 2, (3, 100, 1)).astype(np.uint8)
    path = write(tmp_path / "a.tif", slope, "EPSG:4326", transform)
    for lon in (178.5, 179.999, -179.999, -178.5):
        tile = tile_of(lon, 0.25, 14)
        middle = (tile.x + 0.5) / 2**14 * 360 - 180
        expected = (middle - 177.99) % 360 / 0.01 / 2
        assert abs(picture(path, tile=tile).pixels[0].astype(float).mean() - expected) < 1, lon


def test_degrees_from_0_to_360_are_found(tmp_path: Path) -> None:
    transform, height, width = around("EPSG:4326", 2.8e-5)
    data = noise((3, height, width))
    path = write(tmp_path / "a.tif", data, "EPSG:4326", Affine.translation(360, 0) * transform)
    off = np.abs(picture(path).pixels - bilinear(data.astype(float), "EPSG:4326", transform))
    assert (off <= 2).mean() >= 0.99


def test_a_scene_across_the_antimeridian_is_read_on_both_sides(tmp_path: Path) -> None:
    transform = from_origin(600_000, 7_900_000, 20, 20)  # UTM 60N, across 180°
    path = write(tmp_path / "a.tif", noise((3, 500, 1000)), "EPSG:32660", transform)
    lon, lat = Transformer.from_crs("EPSG:32660", "EPSG:4326", always_xy=True).transform(602_000, 7_895_000)
    assert 179 < lon < 180
    for place in (lon, -179.99):
        mosaic = Mosaic([inspect_scene(path)], None)
        assert mosaic.picture(tile_of(place, lat, 14)) is not None, place
        mosaic.close()
