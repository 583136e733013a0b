"""`geojepa export` of polygons and zoom-14 tiles, and the same bytes from the same inputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from commandline import invoke, refused
from exported import OAK, by_tile, check_metadata, export, two_regions, validate, vectors_of
from hint_commands import check_hint, split_hint
from pyproj import Geod

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import tile_bounds

GEOD = Geod(ellps="WGS84")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return two_regions(tmp_path_factory.mktemp("export") / "workspace")


def test_groups_have_the_mean_vector_of_their_tiles(workspace: Workspace, tmp_path: Path) -> None:
    regions = ("export", "--model", "tagpool", "--region", "oak", "--region", "elm", "--level", "group")
    made = export(workspace, base=regions)
    assert made.name == "tagpool.elm+1.groups"
    frame = geopandas.read_parquet(made.file("groups.parquet")).set_index("group")
    # a tile in both regions counts once, in the first by name
    tiles = by_tile(vectors_of(workspace, "oak")) | by_tile(vectors_of(workspace, "elm"))
    members: dict[str, list[str]] = {}
    for tile in tiles:
        _, x, y = map(int, tile.split("_"))
        members.setdefault(f"14_{x >> 2}_{y >> 2}", []).append(tile)
    assert sorted(frame.index) == sorted(members)
    for group, inside in members.items():
        weights = [
            abs(GEOD.geometry_area_perimeter(shapely.box(*tile_bounds(*map(int, t.split("_")))))[0]) for t in inside
        ]
        expected = np.average([tiles[tile] for tile in inside], axis=0, weights=weights)
        row = frame.loc[group]
        np.testing.assert_allclose(row["vector"], expected, rtol=1e-5, atol=1e-6)
        assert row["tiles"] == len(inside) and row["coverage"] == pytest.approx(len(inside) / 16, rel=1e-3)
        assert row.geometry.equals(shapely.box(*tile_bounds(*map(int, group.split("_")))))
    assert {"elm", "oak", "elm, oak"} >= set(frame["region"])
    check_metadata(made, "groups.parquet")
    validate(made.file("groups.parquet"), tmp_path)


def area_file(folder: Path, workspace: Workspace, crs: str | None = None) -> tuple[Path, list[shapely.Geometry]]:
    """Polygons over `oak`: parts of tiles, one that crosses itself, one far away, and a row without a geometry."""
    tiles = [tile_bounds(*map(int, tile.split("_"))) for tile in by_tile(vectors_of(workspace))]
    west, south, east, north = np.array(tiles)[:, 0].min(), tiles[0][1], tiles[0][2], tiles[0][3]
    box = shapely.box(west, south - 0.004, east, north + 0.002)
    bow = shapely.Polygon([(west, south), (east, north + 0.02), (east, south), (west, north + 0.02)])
    shapes = [box, bow, shapely.box(-79, 36, -78.9, 36.1), None]
    values = {"name": ["<script>\x1b[2J", "bow", "far", "none"], "Vector": [1, 2, 3, 4], "mixed": ["a", 1, None, [1]]}
    features = [
        {
            "type": "Feature",
            "properties": {key: column[i] for key, column in values.items()},
            "geometry": None if one is None else shapely.geometry.mapping(_moved(one, crs)),
        }
        for i, one in enumerate(shapes)
    ]
    content = {"type": "FeatureCollection", "features": features}
    path = folder / f"areas{'' if crs is None else '-' + crs.rpartition(':')[2]}.geojson"
    path.write_text(json.dumps(content))
    return path, [box, shapely.make_valid(bow)]


def _moved(one: shapely.Geometry, crs: str | None) -> shapely.Geometry:
    return one if crs is None else geopandas.GeoSeries([one], crs="EPSG:4326").to_crs(crs)[0]


def test_areas_have_the_mean_of_their_tiles_by_shared_area(workspace: Workspace, tmp_path: Path) -> None:
    path, shapes = area_file(tmp_path, workspace)
    done = invoke(workspace, *OAK, "--area", path, "--json")
    made = workspace.find("exports", json.loads(done.stdout)["artifact"])
    assert "1 area of" in done.stderr and "no embedded tile in it" in done.stderr
    assert made.counts["outside"] == 1 and made.counts["invalid_polygons_repaired"] == 1
    assert made.counts["without_a_geometry"] == 1 and made.counts["areas"] == 2
    frame = geopandas.read_parquet(made.file("areas.parquet")).set_index("feature").sort_index()
    tiles = by_tile(vectors_of(workspace))
    squares = {tile: shapely.box(*tile_bounds(*map(int, tile.split("_")))) for tile in tiles}
    for feature, polygon in zip((1, 2), shapes, strict=True):
        shared = {
            tile: abs(GEOD.geometry_area_perimeter(polygon.intersection(square))[0]) for tile, square in squares.items()
        }
        inside = [tile for tile, area in shared.items() if area > 1e-3]
        expected = np.average([tiles[t] for t in inside], axis=0, weights=[shared[t] for t in inside])
        row = frame.loc[feature]
        np.testing.assert_allclose(row["vector"], expected, rtol=2e-3, atol=2e-4)
        whole = abs(GEOD.geometry_area_perimeter(polygon)[0])
        assert row["coverage"] == pytest.approx(min(1, sum(shared.values()) / whole), rel=2e-3)
        assert row["tiles"] == len(inside) and row["region"] == "oak"
    assert list(frame["name"]) == ["<script>\\x1b[2J", "bow"] and list(frame["Vector_2"]) == [1, 2]
    assert list(frame["mixed"]) == ["a", "1"]
    check_metadata(made, "areas.parquet")
    validate(made.file("areas.parquet"), tmp_path)
    moved, _ = area_file(tmp_path, workspace, "EPSG:32617")
    other = export(workspace, "--area", moved, "--crs", "EPSG:32617", "--format", "gpkg")
    again = geopandas.read_file(other.file("areas.gpkg"), use_arrow=True).set_index("feature").sort_index()
    for feature in (1, 2):
        found = np.frombuffer(again.loc[feature, "vector"], "<f4")
        np.testing.assert_allclose(found, frame.loc[feature, "vector"], rtol=1e-3, atol=1e-4)


def test_wrong_areas_are_clear_errors(workspace: Workspace, tmp_path: Path) -> None:
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [5, 5]}}
    far = {**point, "geometry": shapely.geometry.mapping(shapely.box(5, 5, 6, 6))}
    for name, features in {"empty": [], "points": [point], "far": [far], "none": [{**point, "geometry": None}]}.items():
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (tmp_path / "broken.geojson").write_text("{")
    (tmp_path / "areas.csv").write_text("a\n1\n")
    for name, message, kind in (
        ("empty.geojson", "is empty", DataError),
        ("points.geojson", "has points: expected polygons", DataError),
        ("far.geojson", "lies in an embedded tile of `oak`", DataError),
        ("none.geojson", "has a geometry", DataError),
        ("broken.geojson", "cannot be read as GeoJSON", DataError),
        ("areas.csv", "unknown format", UsageError),
        ("missing.geojson", "is not a file", NotFoundError),
    ):
        error = refused(workspace, *OAK, "--area", tmp_path / name)
        assert isinstance(error, kind) and message in error.message, error.message
    assert not list((workspace.root / "exports").glob("*.partial/*.parquet"))


def test_the_same_inputs_give_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    path, _ = area_file(tmp_path, workspace)
    for options in (
        ("--dtype", "int8", "--dimensions", "5"),
        ("--level", "entity", "--format", "gpkg"),
        ("--level", "group", "--format", "fgb"),
    ):
        first = export(workspace, *options, "--threads", "1")
        assert export(workspace, *options, "--threads", "2").path == first.path
        hint = str(first.rebuild_hint())
        check_hint(hint)
        shutil.rmtree(first.path)
        ((_, *words),) = split_hint(hint)
        assert invoke(workspace, *words[2:], "--threads", "2").exit_code == 0, hint
        again = Workspace(workspace.root).find("exports", first.ref)
        assert again.manifest["files"] == first.manifest["files"]
    assert "--area FILE.geojson" in str(export(workspace, "--area", path).rebuild_hint())
    task = stages.build_tasks(workspace, "oak", "bridge")[0]
    assert "build-tasks" in str(task.rebuild_hint())
