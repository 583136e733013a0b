"""`geojepa export` on small random regions: files as GeoPandas, DuckDB, GDAL, STAC and two validators read them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import yaml
from commandline import invoke, output_of, refused
from hint_commands import check_hint, split_hint
from pyproj import Geod
from raw_tokens import raw_tiles
from safetensors.numpy import load_file
from sklearn.decomposition import TruncatedSVD
from stac_rules import check_stac
from synthetic_workspace import ATTRIBUTION, add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import tile_bounds
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.workspace.artifact import Artifact

OAK = ("export", "--model", "tagpool", "--region", "oak", "--date", "2024-07-03")
GEOD = Geod(ellps="WGS84")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The region `oak`, and `elm`, which has some of its tiles."""
    made = Workspace(tmp_path_factory.mktemp("export") / "workspace")
    add_region(made, "oak", 1, 160)
    add_region(made, "elm", 2, 60)
    return made


def export(workspace: Workspace, *more: object, base: tuple[str, ...] = OAK) -> Artifact:
    answer = json.loads(output_of(workspace, *base, *more, "--json"))
    made = workspace.find("exports", answer["artifact"])
    assert answer["result"]["path"] == str(made.path) and not made.verify()
    return made


def vectors_of(workspace: Workspace, region: str = "oak") -> Embeddings:
    return Embeddings(workspace.find("embeddings", f"tagpool.{region}").file("embeddings.h5"))


def by_tile(vectors: Embeddings) -> dict[str, np.ndarray]:
    return {vectors.tile_name(row): np.asarray(vectors["tile/vector"][row]) for row in range(vectors.n_tiles)}


def validate(path: Path, tmp_path: Path) -> None:
    """Checks a file with geoparquet-validator, and with geoparquet-io, which needs an extension of DuckDB."""
    tool = Path(sys.executable).with_name("geoparquet-validator")
    done = subprocess.run([tool, "check", "--json", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    import duckdb_extension_spatial

    (extension,) = Path(duckdb_extension_spatial.__file__).parent.rglob("*.duckdb_extension")
    home = tmp_path / "home"
    folder = home / ".duckdb/extensions" / f"v{duckdb.__version__}" / "linux_amd64"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / extension.name).unlink(missing_ok=True)
    (folder / extension.name).symlink_to(extension)
    gpio = Path(sys.executable).with_name("gpio")
    for check in (("spec",), ("bbox",), ("compression",)):
        words = [gpio, "check", *check, "--strict", path]
        done = subprocess.run(words, capture_output=True, text=True, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stdout + done.stderr


def check_metadata(made: Artifact, file: str, model: bool = False) -> dict[str, Any]:
    """Checks the STAC files, and returns the item. It is also in the header of a Parquet file."""
    item = made.read_json("item.json")
    collection = made.read_json("collection.json")
    for content in (item, collection, *([made.read_json("model.json")] if model else [])):
        check_stac(content)
    assert item["collection"] == collection["id"] and item["assets"]["embeddings"]["href"] == f"./{file}"
    if file.endswith(".parquet"):
        assert json.loads(pq.read_metadata(made.file(file)).metadata[b"emb"]) == item
    assert item["properties"]["geojepa:attribution"] == ATTRIBUTION
    return item


def test_tiles_as_geoparquet(workspace: Workspace, tmp_path: Path) -> None:
    made = export(workspace)
    path, vectors = made.file("tiles.parquet"), vectors_of(workspace)
    assert made.name == "tagpool.oak.tiles" and made.attribution == ATTRIBUTION
    frame, expected = geopandas.read_parquet(path), by_tile(vectors)
    assert frame.crs.equals("OGC:CRS84") and sorted(frame["tile"]) == sorted(expected)
    tokens = dict(zip([t for t, _ in _tokens(workspace)], [t for _, t in _tokens(workspace)], strict=True))
    for _, row in frame.iterrows():
        z, x, y = map(int, row["tile"].split("_"))
        np.testing.assert_array_equal(row["vector"], expected[row["tile"]])
        assert row.geometry.equals(shapely.box(*tile_bounds(z, x, y)))
        assert row["group"] == f"14_{x >> 2}_{y >> 2}" and row["region"] == "oak"
        tags = {f"{key}={value}" for token in tokens[row["tile"]] for key, value in token.tags.items()}
        assert row["entities"] == len(tokens[row["tile"]]) and set(row["main_tags"]) <= tags and len(row["main_tags"])
    steps = np.hypot(*np.diff(frame.bounds[["minx", "miny"]].to_numpy(), axis=0).T)
    assert np.median(steps) < 0.006  # one tile: neighbours on the map are neighbours in the file
    with duckdb.connect() as database:
        tile = frame["tile"][3]
        query = f"SELECT tile, vector::FLOAT[{vectors['tile/vector'].shape[1]}] FROM '{path}' WHERE tile = '{tile}'"
        ((_, found),) = database.execute(query).fetchall()
        np.testing.assert_array_equal(np.float32(found), expected[tile])
        inside = database.execute(f"SELECT count(*) FROM '{path}' WHERE bbox.xmin > -80.85").fetchone()
        assert inside == (int((frame.bounds["minx"] > -80.85).sum()),)
    metadata = pq.read_metadata(path)
    columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    validate(path, tmp_path)
    item = check_metadata(made, "tiles.parquet")
    assert item["properties"]["datetime"] == "2024-07-03T00:00:00Z" and "emb:quantization" not in item["properties"]
    collection = made.read_json("collection.json")
    assert collection["emb:dimensions"] == len(frame["vector"][0]) and collection["data_type"] == "float32"
    assert collection["emb:chip_layout"]["grid_id"] == "WebMercatorQuad/16"
    assert made.manifest["neighbours_kept"] is None


def _tokens(workspace: Workspace) -> list[tuple[str, Any]]:
    path = workspace.find("processed", "oak").file("processed.h5")
    vectors = vectors_of(workspace)
    rows = [int(row) for row in vectors["tile/row"]]
    tiles = raw_tiles(path)
    return [(vectors.tile_name(i), tiles[row][1]) for i, row in enumerate(rows)]


def test_entities_lead_back_to_openstreetmap(workspace: Workspace, tmp_path: Path) -> None:
    made = export(workspace, "--level", "entity", "--dtype", "float16", "--list", "variable")
    path, vectors = made.file("entities.parquet"), vectors_of(workspace)
    frame = geopandas.read_parquet(path)
    expected = {
        (vectors.entity_ref(row), vectors.tile_name(int(vectors["entity/tile"][row]))): row
        for row in range(vectors.n_entities)
    }
    assert len(frame) == len(expected) == vectors.n_entities
    tokens = {(f"{token.ref[0]}/{token.ref[1]}", tile): token for tile, found in _tokens(workspace) for token in found}
    for _, row in frame.iterrows():
        key = (f"{row['osm_type']}/{row['osm_id']}", row["tile"])
        at = expected[key]
        np.testing.assert_array_equal(row["vector"], vectors["entity/vector"][at])
        version = int(vectors["entity/osm_version"][at])
        assert (row["osm_version"] == version) if version else np.isnan(row["osm_version"])
        record_id = None if row.isna()["record_id"] else row["record_id"]
        assert record_id == (f"{row['osm_type'][0]}{row['osm_id']}@{version}" if version else None)
        assert row["size"] == vectors["entity/size"][at] and not row.geometry.is_empty
        if key in tokens:
            assert sorted(row["tags"]) == sorted(f"{k}={v}" for k, v in tokens[key].tags.items())
    table = pq.read_schema(path)
    assert str(table.field("vector").type) == "list<element: halffloat not null>"
    validate(path, tmp_path)
    item = check_metadata(made, "entities.parquet")
    assert item["stac_extensions"] == [] and item["properties"]["geojepa:dimensions"] == len(frame["vector"][0])
    assert made.manifest["neighbours_kept"]["share"] == 1.0  # entity vectors are stored as float16


def test_int8_and_components_are_decoded_with_the_facts_in_the_metadata(workspace: Workspace, tmp_path: Path) -> None:
    made = export(workspace, "--dtype", "int8", "--dimensions", "6")
    path = made.file("tiles.parquet")
    frame, expected = geopandas.read_parquet(path), by_tile(vectors_of(workspace))
    item = check_metadata(made, "tiles.parquet")
    quantization = item["properties"]["emb:quantization"]
    assert quantization["method"] == "linear" and quantization["quantized_dtype"] == "int8"
    stored = np.stack(frame["vector"])
    assert stored.dtype == np.int8 and stored.shape[1] == 6
    decoded = np.array(quantization["offset"]) + np.array(quantization["scale"]) * stored
    original = np.stack([expected[tile] for tile in frame["tile"]])
    components = load_file(made.file("projection.safetensors"))["components"]
    step = np.array(quantization["scale"])
    assert (np.abs(decoded - original @ components.T) <= 0.51 * step).all()
    unit = original / np.linalg.norm(original, axis=1, keepdims=True)
    svd = TruncatedSVD(6, algorithm="arpack").fit(unit)
    np.testing.assert_allclose(np.abs(components @ svd.components_.T), np.eye(6), atol=2e-3)
    kept = made.manifest["neighbours_kept"]
    assert item["properties"]["geojepa:neighbours_kept"] == kept and 0.2 < kept["share"] < 1
    shown = output_of(workspace, *OAK, "--dtype", "int8", "--dimensions", "6")
    assert f"{kept['share']:.1%} of the 8 nearest neighbours remain" in shown
    validate(path, tmp_path)


def test_qgis_layers_have_colours_and_bytes(workspace: Workspace) -> None:
    expected = by_tile(vectors_of(workspace))
    for kind in ("gpkg", "fgb"):
        made = export(workspace, "--format", kind)
        check_metadata(made, f"tiles.{kind}")
        frame = geopandas.read_file(made.file(f"tiles.{kind}"), use_arrow=True)
        assert frame.crs.to_epsg() == 4326 and sorted(frame["tile"]) == sorted(expected)
        for _, row in frame.iterrows():
            np.testing.assert_array_equal(np.frombuffer(row["vector"], "<f4"), expected[row["tile"]])
            assert row["colour"] == f"#{row['red']:02x}{row['green']:02x}{row['blue']:02x}"
            assert isinstance(json.loads(row["main_tags"]), list)
        assert frame[["red", "green", "blue"]].to_numpy().std() > 20
        done = subprocess.run(["ogrinfo", "-so", "-al", made.file(f"tiles.{kind}")], capture_output=True, text=True)
        assert f"Feature Count: {len(expected)}" in done.stdout and "Geometry: Polygon" in done.stdout, done.stderr
        assert "Warning" not in done.stderr
        plain = export(workspace, "--format", kind, "--no-vectors")
        assert set(plain.manifest["files"]) == {f"tiles.{kind}", "ATTRIBUTION.txt"}
        columns = geopandas.read_file(plain.file(f"tiles.{kind}"), use_arrow=True).columns
        assert "vector" not in columns and "colour" in columns


def test_entities_of_all_geometry_types_fit_in_one_layer(workspace: Workspace) -> None:
    made = export(workspace, "--level", "entity", "--format", "gpkg", "--no-vectors")
    frame = geopandas.read_file(made.file("entities.gpkg"), use_arrow=True)
    assert len(frame) == vectors_of(workspace).n_entities and frame.geom_type.nunique() > 3


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--level", "street"), "`--level street`: expected `tile`, `entity`, `group`"),
        (("--format", "shp"), "`--format shp`: expected `geoparquet`"),
        (("--dtype", "int4"), "`--dtype int4`: expected"),
        (("--list", "long"), "`--list long`: expected"),
        (("--dimensions", "4000"), "`--dimensions 4000`: the vectors have 32 dimensions"),
        (("--dimensions", "0"), "`--dimensions 0`: expected 1"),
        (("--no-vectors",), "cannot be combined with `--format geoparquet`"),
        (("--list", "variable", "--format", "fgb"), "only for `--format geoparquet`"),
        (("--alpha", "0.5"), "requires `--level entity`"),
        (("--crs", "EPSG:4326"), "requires `--area`"),
        (("--date", "yesterday"), "expected a date"),
    ],
)
def test_wrong_options_are_clear_errors(workspace: Workspace, options: tuple[str, ...], message: str) -> None:
    base = tuple(word for word in OAK if word not in ("--date", "2024-07-03")) if "--date" in options else OAK
    error = refused(workspace, *base, *options)
    assert isinstance(error, UsageError) and message in error.message, error.message


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


def test_out_gets_a_copy_and_an_unknown_date_a_warning(workspace: Workspace, tmp_path: Path) -> None:
    done = invoke(workspace, "export", "--model", "tagpool", "--region", "oak", "--out", tmp_path / "out")
    assert done.exit_code == 0 and "the date of the map data is unknown" in done.stderr
    assert (tmp_path / "out/ATTRIBUTION.txt").read_text() == "".join(f"{line}\n" for line in ATTRIBUTION)
    assert len(geopandas.read_parquet(tmp_path / "out/tiles.parquet")) == vectors_of(workspace).n_tiles
    item = json.loads((tmp_path / "out/item.json").read_text())
    check_stac(item)
    assert item["properties"]["datetime"] is None and item["properties"]["end_datetime"].startswith("9999")
    (tmp_path / "file").write_text("")
    error = refused(workspace, *OAK, "--out", tmp_path / "file/inner")
    assert "cannot be written" in error.message


def test_the_model_folder_has_weights_configuration_card_and_stac(workspace: Workspace, tmp_path: Path) -> None:
    answer = json.loads(output_of(workspace, "export", "--format", "model", "--model", "geojepa-small", "--json"))
    made = workspace.find("exports", answer["artifact"])
    assert made.name == "geojepa-small.model"
    weights = load_file(made.file("model.safetensors"))
    assert sum(one.size for one in weights.values()) == made.counts["parameters"]
    config = made.read_json("config.json")
    assert config["library_name"] == "geojepa" and config["model_type"] == "jepa"
    assert yaml.safe_load(made.file("config.yaml").read_text())["model"].items() <= config["model"].items()
    _, header, _ = made.file("README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    wanted = ("license", "library_name", "tags", "datasets", "metrics", "model-index", "provider", "description")
    wanted += ("embedding_spatial_types", "embedding_temporal_type", "embedding_spatial_context", "embedding_dimension")
    assert set(wanted) <= set(card) and card["library_name"] == "geojepa"
    item = made.read_json("item.json")
    check_stac(item)
    (tile, entity) = item["properties"]["mlm:output"]
    assert tile["result"]["shape"] == [-1, card["embedding_dimension"]] and entity["result"]["shape"] == [-1, 256]
    check_hint(str(made.rebuild_hint()))
    error = refused(workspace, "export", "--format", "model", "--model", "tagpool")
    assert isinstance(error, UsageError) and "no weights" in error.message
