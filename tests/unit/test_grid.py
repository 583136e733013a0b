"""Tile names, bounds, half-open tiles, and the tile-local plane against PROJ."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geojepa_cli.errors import UsageError
from geojepa_cli.grid import (
    EnuFrame,
    TileId,
    from_tile_local,
    ground_size,
    group_of,
    parse_tile,
    tile_bounds,
    tile_of,
    tiles_bounds,
)

TILES = st.builds(lambda x, y: TileId(16, x, y), st.integers(0, 65535), st.integers(2000, 63000))
UNIT = st.floats(-0.2, 1.2)


def proj_enu(lon0: float, lat0: float, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    pipeline = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lon_0={lon0!r} +lat_0={lat0!r} +h_0=0"
    )
    east, north, _ = pipeline.transform(lon, lat, np.zeros_like(lon))
    return np.stack([east, north], -1)


@given(TILES)
def test_a_name_and_its_tile_are_inverse(tile: TileId) -> None:
    assert parse_tile(tile.name) == tile
    assert tile.name == f"16_{tile.x}_{tile.y}"


@pytest.mark.parametrize(
    "name", ["", "16_1", "16_1_2_3", "16-1-2", "a_b_c", "16_-1_2", "16_65536_0", "16_0_65536", "99_0_0"]
)
def test_a_malformed_name_or_one_outside_the_grid_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        parse_tile(name)


def test_the_demo_tile_lies_south_of_charlotte() -> None:
    west, south, east, north = tile_bounds(16, 18052, 25957)
    assert (round(west, 3), round(south, 3), round(east, 3), round(north, 3)) == (-80.837, 35.003, -80.832, 35.008)
    assert tile_of(-80.834, 35.005, 16) == TileId(16, 18052, 25957)


@given(TILES)
def test_bounds_equal_those_of_the_mercator_projection(tile: TileId) -> None:
    to_lonlat = pyproj.Transformer.from_crs(3857, 4326, always_xy=True)
    half = 20037508.342789244
    side = 2 * half / 2**16
    west, north = to_lonlat.transform(tile.x * side - half, half - tile.y * side)
    east, south = to_lonlat.transform((tile.x + 1) * side - half, half - (tile.y + 1) * side)
    assert tile_bounds(*tile) == pytest.approx((west, south, east, north), abs=1e-9)
    assert tiles_bounds(16, [tile.x], [tile.y])[0] == pytest.approx(tile_bounds(*tile), abs=0)


@given(TILES, st.floats(0, 1), st.floats(0, 1))
def test_a_point_belongs_to_the_tile_whose_bounds_hold_it(tile: TileId, u: float, v: float) -> None:
    west, south, east, north = tile_bounds(*tile)
    lon, lat = west + u * (east - west), south + v * (north - south)
    found = tile_of(lon, lat, 16)
    west, south, east, north = tile_bounds(*found)
    assert west <= lon < east or found.x == 65535
    assert south < lat <= north


@given(TILES)
def test_a_tile_owns_its_west_and_north_edge_only(tile: TileId) -> None:
    west, south, east, north = tile_bounds(*tile)
    assert tile_of(west, north, 16) == tile
    assert tile_of(west, south, 16) == TileId(16, tile.x, tile.y + 1)
    if tile.x < 65535:
        assert tile_of(east, north, 16) == TileId(16, tile.x + 1, tile.y)


def test_points_past_the_grid_belong_to_its_outermost_tiles() -> None:
    assert tile_of(180.0, 90.0, 16) == TileId(16, 65535, 0)
    assert tile_of(-180.0, -90.0, 16) == TileId(16, 0, 65535)


def test_a_group_holds_sixteen_tiles() -> None:
    names = {group_of(x, y, 16) for x in range(18052, 18056) for y in range(25956, 25960)}
    assert names == {"14_4513_6489"}
    with pytest.raises(UsageError):
        group_of(1, 1, 13)


def test_a_tile_of_san_francisco_is_484_by_482_metres() -> None:
    # 611.5 m × cos(latitude) on a sphere; the ellipsoid makes the north side shorter than the east side.
    east_m, north_m = ground_size(16, 10476, 25336)
    assert (round(east_m, 1), round(north_m, 1)) == (484.1, 482.1)


@given(TILES, st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=8))
def test_tile_local_agrees_with_proj_and_back_to_under_a_centimetre(tile: TileId, points: list) -> None:
    west, south, east, north = tile_bounds(*tile)
    u, v = np.array(points).T
    lon, lat = west + u * (east - west), south + v * (north - south)
    expected = proj_enu(west, south, lon, lat)
    east_m, north_m = EnuFrame(west, south).to_enu(lon, lat)
    assert np.abs(np.stack([east_m, north_m], -1) - expected).max() < 0.001
    size = proj_enu(west, south, np.array([east]), np.array([south]))[0, 0]
    back = from_tile_local(tile, expected / size)
    metres_per_degree = 111_320.0
    assert np.abs(back - np.stack([lon, lat], -1)).max() * metres_per_degree < 0.001


def test_one_frame_of_many_origins_equals_many_frames() -> None:
    west, south = np.array([-80.8, 7.4, 151.2]), np.array([35.0, 46.9, -33.9])
    together = EnuFrame(west, south).to_enu(west + 0.003, south + 0.002)
    alone = [EnuFrame(w, s).to_enu(w + 0.003, s + 0.002) for w, s in zip(west, south, strict=True)]
    assert np.allclose(np.stack(together, -1), np.array(alone), rtol=0, atol=1e-9)
