"""Geometry, order and attributes of exported layers against slow, independent code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from shapely.geometry import shape
from synthetic_store import write_synthetic_processed

from geojepa_cli.export.areas import _typed, unique_names
from geojepa_cli.export.hilbert import hilbert_distance, hilbert_order
from geojepa_cli.export.piece_geometry import piece_centres, piece_geometries, piece_types
from geojepa_cli.grid import TileId, from_tile_local, from_tiles_local, tile_bounds
from geojepa_cli.search.geojson import entity_geometry
from geojepa_cli.store import csr
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import read_piece


def test_neighbours_on_the_hilbert_curve_are_neighbours_on_the_grid() -> None:
    x, y = (axis.ravel() for axis in np.mgrid[:32, :32])
    distance = hilbert_distance(x, y, 5)
    assert sorted(distance.tolist()) == list(range(1024))
    order = np.argsort(distance)
    assert (np.abs(np.diff(x[order])) + np.abs(np.diff(y[order])) == 1).all()


def test_the_order_of_places_covers_their_bounding_box() -> None:
    lonlat = np.random.default_rng(0).uniform([-76, 40], [-75, 41], (2000, 2))
    order = hilbert_order(lonlat)
    assert sorted(order.tolist()) == list(range(2000))
    steps = np.hypot(*np.diff(lonlat[order], axis=0).T)
    assert steps.mean() < 0.1 * np.hypot(*np.diff(lonlat, axis=0).T).mean()
    assert hilbert_order(np.ones((3, 2))).tolist() == [0, 1, 2] and len(hilbert_order(np.empty((0, 2)))) == 0


def test_tile_local_coordinates_of_many_tiles_equal_those_of_one() -> None:
    rng = np.random.default_rng(0)
    tiles = [TileId(16, 18052, 25957), TileId(15, 30000, 2), TileId(18, 0, 200_000)]
    xy = rng.uniform(-0.1, 1.1, (3, 2))
    many = from_tiles_local(*np.array(tiles).T, xy)
    assert np.array_equal(many, [from_tile_local(tile, one) for tile, one in zip(tiles, xy, strict=True)])


def test_geometries_of_pieces_equal_those_of_the_search_for_neighbours(tmp_path: Path) -> None:
    region = RegionStore(write_synthetic_processed(tmp_path / "processed.h5", 3, 60), "r")
    region.check_geometry()
    tile = csr.parents(region["tile/pieces"])
    tiles = np.stack([region[f"tile/{axis}"] for axis in "zxy"], 1).astype(np.int64)[tile]
    rows = np.random.default_rng(1).permutation(region.n_pieces)
    found = piece_geometries(region, rows, tiles[rows])
    kinds = set()
    for geometry, row in zip(found, rows.tolist(), strict=True):
        expected = shape(entity_geometry(read_piece(region, row), TileId(*tiles[row].tolist())))
        assert geometry.geom_type == expected.geom_type
        assert shapely.equals_exact(geometry, expected, 2e-7, normalize=True), (geometry.wkt, expected.wkt)
        if geometry.geom_type == "Polygon":
            assert geometry.exterior.is_ccw and not any(ring.is_ccw for ring in geometry.interiors)
        kinds.add(geometry.geom_type)
    assert piece_types(region, rows) == kinds and len(kinds) > 3
    squares = [one for one in rows.tolist() if not read_piece(region, one).parts]
    assert squares and shapely.box(*tile_bounds(*tiles[squares[0]])).equals(found[rows.tolist().index(squares[0])])
    centres = piece_centres(region, rows, tiles[rows])
    bounds = np.array([tile_bounds(*one) for one in tiles[rows].tolist()])
    assert ((centres > bounds[:, :2] - 0.01) & (centres < bounds[:, 2:] + 0.01)).all()


def test_names_of_properties_differ_from_each_other_and_from_columns_of_the_export() -> None:
    names = unique_names(["name", "NAME", "vector", "Geometry", "", "a\x00b\x1b", "name_2"])
    assert names == ["name", "NAME_2", "vector_2", "Geometry_2", "property", "a\\x00b\\x1b", "name_2_2"]


def test_properties_keep_their_type_or_become_json() -> None:
    assert _typed([1, None, 3]).type == pa.int64() and _typed([1.5, 2]).type == pa.float64()
    assert _typed([True, None]).type == pa.bool_() and _typed([None, None]).type == pa.string()
    assert _typed(["a\x1b", None]).to_pylist() == ["a\\x1b", None]
    mixed = _typed([1, "x", {"deep": [1]}, None, 10**30]).to_pylist()
    assert mixed == ["1", "x", '{"deep": [1]}', None, str(10**30)] and json.loads(mixed[2]) == {"deep": [1]}
