"""Positions of a tile's pixels in a scene, and sampling; the oracles are pyproj and a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from geojepa_cli.grid import TileId, tile_of
from geojepa_cli.sources.sampling import locate_tile, pixel_positions, sample

WORLD_M = 2 * math.pi * 6378137.0


def exact(tile: TileId, size: int, crs: str, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of the middle of every pixel, by the formulas of the grid and pyproj."""
    steps = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(
        (tile.x + steps) / 2**tile.z * WORLD_M - WORLD_M / 2, WORLD_M / 2 - (tile.y + steps) / 2**tile.z * WORLD_M
    )
    return ~transform * Transformer.from_crs("EPSG:3857", crs, always_xy=True).transform(x, y)


@pytest.mark.parametrize("zoom", [14, 16, 18])
@pytest.mark.parametrize(
    ("crs", "pixel", "lon", "lat"),
    [
        ("EPSG:26911", 0.6, -114.01, 48.9),  # the edge of a zone, far north
        ("EPSG:26917", 0.3, -81.0, 25.1),
        ("EPSG:4326", 5e-6, -116.4, 33.0),
        ("EPSG:5070", 1.0, -68.0, 47.0),  # Albers, askew by 18 degrees
        ("EPSG:2263", 0.5, -74.0, 40.7),  # feet
        ("EPSG:3413", 1.0, -150.0, 71.0),
    ],
)
def test_pixel_positions_agree_with_pyproj(crs: str, pixel: float, lon: float, lat: float, zoom: int) -> None:
    tile = tile_of(lon, lat, zoom)
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    transform = from_origin(x, y, pixel, pixel) * Affine.rotation(7)
    grid = locate_tile(tile, 224, CRS.from_string(crs), transform)
    assert grid is not None
    found = pixel_positions(grid, tile, 224, CRS.from_string(crs), transform)
    assert np.abs(np.stack(found) - np.stack(exact(tile, 224, crs, transform))).max() < 0.05
    across, down = ([np.diff(one, axis=axis).mean() for one in found] for axis in (1, 0))
    assert grid.scale == pytest.approx(math.sqrt(abs(across[0] * down[1] - across[1] * down[0])), rel=0.01)


def test_a_projection_that_a_parabola_does_not_fit_is_computed_at_every_pixel() -> None:
    """A tile of zoom 5 in UTM."""
    tile, transform = tile_of(-116.4, 33.0, 5), from_origin(500_000, 4_000_000, 100, 100)
    grid = locate_tile(tile, 64, CRS.from_string("EPSG:26911"), transform)
    assert grid is not None
    found = pixel_positions(grid, tile, 64, CRS.from_string("EPSG:26911"), transform)
    assert np.abs(np.stack(found) - np.stack(exact(tile, 64, "EPSG:26911", transform))).max() < 1e-6


def test_a_tile_outside_of_a_projection_has_no_position() -> None:
    askew = CRS.from_string("+proj=geos +h=35785831 +lon_0=0")
    assert locate_tile(tile_of(170.0, 0.0, 16), 224, askew, from_origin(0, 0, 1000, 1000)) is None


def test_values_are_bilinear_between_the_centres_of_pixels() -> None:
    data = np.random.default_rng(0).integers(0, 256, (2, 5, 6), np.uint8)
    columns, rows = np.random.default_rng(1).uniform(0.5, 4.5, (2, 20, 20))
    found = sample(data, columns, rows, 1.0)
    for i in range(20):
        for j in range(20):
            c, r = columns[i, j] - 0.5, rows[i, j] - 0.5
            left, top = int(c), int(r)
            near = data[:, top : top + 2, left : left + 2].astype(float)
            weights = np.outer([1 - (r - top), r - top], [1 - (c - left), c - left])
            assert found[:, i, j] == pytest.approx((near * weights).sum((1, 2)), abs=1e-3)


def test_beyond_the_edge_the_values_of_the_edge_continue_even_of_one_pixel() -> None:
    data = np.array([[[7, 9]]], np.uint8)
    found = sample(data, np.array([[0.0, 0.5, 1.0, 2.0]]), np.zeros((1, 4)), 1.0)
    assert found[0, 0].tolist() == [7, 7, 8, 9]


@pytest.mark.parametrize("scale", [1.0, 1.3, 1.6, 2.0])
def test_sampling_has_the_variance_of_a_triangle_kernel_of_the_pixel(scale: float) -> None:
    """The response to one bright pixel, sampled finely: it has the pixel's sum and the triangle's variance."""
    data = np.zeros((1, 21, 21), np.float32)
    data[0, 10, 10] = 100.0
    steps = np.linspace(5.5, 15.5, 401)
    found = sample(data, *np.meshgrid(steps, steps), scale)[0].astype(float)
    step, profile = steps[1] - steps[0], found.sum(0)
    assert found.sum() * step**2 == pytest.approx(100.0, rel=1e-3)
    spread = (profile * (steps - 10.5) ** 2).sum() / profile.sum()
    assert spread == pytest.approx(scale**2 / 6, rel=0.01)
