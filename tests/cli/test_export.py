"""`geojepa export` on a small random region: files as GeoPandas, DuckDB, GDAL, STAC and two validators read them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import yaml
from commandline import COMMAND, invoke, output_of, refused
from exported import OAK, by_tile, check_metadata, export, two_regions, validate, vectors_of
from hint_commands import check_hint
from raw_tokens import raw_tiles
from safetensors.numpy import load_file
from sklearn.decomposition import TruncatedSVD
from stac_rules import check_stac
from synthetic_workspace import ATTRIBUTION, add_region

from geojepa_cli import Workspace
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import tile_bounds
from geojepa_cli.workspace.prune import describe_variant


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return two_regions(tmp_path_factory.mktemp("export") / "workspace")


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
    mapping = load_file(made.file("projection.safetensors"))
    components = mapping["components"]
    step = np.array(quantization["scale"])
    unit = balanced(original, vectors_of(workspace).tile_parts)
    np.testing.assert_allclose(unit_length((original - mapping["mean"]) * mapping["scale"]), unit, atol=1e-6)
    assert (np.abs(decoded - unit @ components.T) <= 0.51 * step).all()
    svd = TruncatedSVD(6, algorithm="arpack").fit(unit)
    np.testing.assert_allclose(np.abs(components @ svd.components_.T), np.eye(6), atol=2e-3)
    kept = made.manifest["neighbours_kept"]
    assert item["properties"]["geojepa:neighbours_kept"] == kept and 0.2 < kept["share"] < 1
    shown = output_of(workspace, *OAK, "--dtype", "int8", "--dimensions", "6")
    assert f"{kept['share']:.1%} of the 8 nearest neighbours remain" in shown
    validate(path, tmp_path)


def test_cosines_of_vectors_in_a_space_are_those_of_knn(workspace: Workspace) -> None:
    expected, parts = by_tile(vectors_of(workspace)), vectors_of(workspace).tile_parts
    made = export(workspace, "--space", "balanced")
    item = check_metadata(made, "tiles.parquet")
    assert item["properties"]["emb:postprocessing"]["expression"] == "unit((vector - mean) * scale)"
    frame = geopandas.read_parquet(made.file("tiles.parquet"))
    original = np.stack([expected[tile] for tile in frame["tile"]])
    np.testing.assert_allclose(np.stack(frame["vector"]), balanced(original, parts), atol=1e-6)
    assert made.manifest["neighbours_kept"] is None  # nothing is rounded
    assert "balanced" in describe_variant(made)  # so that `artifacts --prune` keeps it next to plain vectors


def test_areas_are_mapped_to_the_space_of_the_tiles(workspace: Workspace, tmp_path: Path) -> None:
    """A search space that is fitted to one area maps it to zeros."""
    export(workspace)  # computes the embeddings
    tiles, parts = by_tile(vectors_of(workspace)), vectors_of(workspace).tile_parts
    tile = sorted(tiles)[7]
    unit = balanced(np.stack(list(tiles.values())), parts)
    wanted = unit[list(tiles).index(tile)]
    square = shapely.box(*tile_bounds(*map(int, tile.split("_"))))
    inner = shapely.geometry.mapping(square.buffer(-1e-5))
    content = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": inner}]}
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(content))
    made = export(workspace, "--area", path, "--space", "balanced")
    np.testing.assert_allclose(geopandas.read_parquet(made.file("areas.parquet"))["vector"][0], wanted, atol=1e-6)
    fewer = export(workspace, "--area", path, "--dimensions", "6")
    components = load_file(fewer.file("projection.safetensors"))["components"]
    svd = TruncatedSVD(6, algorithm="arpack").fit(unit)
    np.testing.assert_allclose(np.abs(components @ svd.components_.T), np.eye(6), atol=2e-3)
    found = geopandas.read_parquet(fewer.file("areas.parquet"))["vector"][0]
    np.testing.assert_allclose(found, components @ wanted, atol=1e-6)


def test_a_space_that_maps_all_vectors_to_zeros_is_refused(tmp_path: Path) -> None:
    alone = Workspace(tmp_path / "workspace")
    add_region(alone, "oak", n_tiles=1)
    for options in (("--space", "centred"), ("--dimensions", "4")):
        error = refused(alone, *OAK, *options)
        assert isinstance(error, DataError) and "all vectors are equal" in error.message
        check_hint(str(error.hint))
        assert "--space raw" in str(error.hint)


def balanced(vectors: np.ndarray, parts: tuple[tuple[str, int], ...]) -> np.ndarray:
    """Vectors in the default space, by the formula of ADR 35."""
    found, first = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0), 0
    for name, width in parts:
        columns = slice(first, first + width)
        found[:, columns] *= (4.0 if name == "max" else 1.0) / np.sqrt(found[:, columns].var(axis=0).sum())
        first += width
    return unit_length(found)


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors divided by their norms."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


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


def test_the_hint_for_a_model_leaves_out_all_options_of_vectors() -> None:
    given = ["export", "--format", "model", "--region", "oak", "--level", "group", "--region", "elm", "--out", "hub"]
    done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`--region`, `--level` cannot be combined with `--format model`" in done.stderr
    assert done.stderr.splitlines()[-1] == "hint: geojepa export --format model --out hub"


@pytest.mark.parametrize("form", [(), ("--format", "model")])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    workspace: Workspace, tmp_path: Path, form: tuple[str, ...]
) -> None:
    before = [one.ref for one in workspace.artifacts("exports")]
    (tmp_path / "file").write_text("mine")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for out, says in (("file", "is a file"), ("file/inside/it", "is a file"), ("gone", "is a broken link")):
        error = refused(workspace, "export", *form, "--out", tmp_path / out, "--model", "geojepa-small")
        assert isinstance(error, UsageError) and says in error.message and "expected a folder" in error.message
    assert [one.ref for one in workspace.artifacts("exports")] == before and (tmp_path / "file").read_text() == "mine"


def test_out_gets_a_copy_and_an_unknown_date_a_warning(workspace: Workspace, tmp_path: Path) -> None:
    done = invoke(workspace, "export", "--model", "tagpool", "--region", "oak", "--out", tmp_path / "out")
    assert done.exit_code == 0 and "the date of the map data is unknown" in done.stderr
    assert (tmp_path / "out/ATTRIBUTION.txt").read_text() == "".join(f"{line}\n" for line in ATTRIBUTION)
    assert len(geopandas.read_parquet(tmp_path / "out/tiles.parquet")) == vectors_of(workspace).n_tiles
    item = json.loads((tmp_path / "out/item.json").read_text())
    check_stac(item)
    assert item["properties"]["datetime"] is None and item["properties"]["end_datetime"].startswith("9999")


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
    width = config["model"]["embed_dim"]
    assert tile["result"]["shape"] == [-1, card["embedding_dimension"]] and entity["result"]["shape"] == [-1, width]
    check_hint(str(made.rebuild_hint()))
    error = refused(workspace, "export", "--format", "model", "--model", "tagpool")
    assert isinstance(error, UsageError) and "no weights" in error.message
