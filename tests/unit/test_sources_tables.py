"""Tables with values from outside the map: CSV, GeoJSON and Parquet files, their columns and places."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import Transformer

from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.sources.places import Places, find_places
from geojepa_cli.sources.raw_table import RawTable
from geojepa_cli.sources.table_files import read_table
from geojepa_cli.sources.vector_file import read_vectors

LONLAT = [(8.55, 48.75), (8.56, 48.76), (8.57, 48.74)]


def table_of(folder: Path, text: str | bytes, name: str = "values.csv") -> RawTable:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def collection(features: list[dict[str, Any]], **more: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features, **more})


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    mapped = None if geometry is None else json.loads(shapely.to_geojson(geometry))
    return {"type": "Feature", "properties": properties, "geometry": mapped}


def points_of(places: Places) -> list[tuple[float, float]]:
    return [tuple(point) for point in np.round(places.lonlat, 9).tolist()]


@pytest.mark.parametrize(
    "text",
    [
        "lon,lat,price\n8.55,48.75,1.5\n8.56,48.76,\n8.57,48.74,-2e1\n",
        "lon;lat;price\n8.55;48.75;1.5\n8.56;48.76;NA\n8.57;48.74;-20\n",
        "\ufefflon\tlat\tprice\r\n8.55\t48.75\t1.5\r\n\r\n8.56\t48.76\tnull\r\n8.57\t48.74\t-20",
        'note,"Longitude",LATITUDE,"price"\n"a ""b"", c",8.55,48.75,"1.5"\n'
        '"two\nlines",8.56,48.76,""\nx,8.57,48.74,-20\n',
    ],
)
def test_csv_files_of_all_common_forms_are_the_same_table(tmp_path: Path, text: str) -> None:
    table = table_of(tmp_path, text)
    np.testing.assert_array_equal(table.numbers("price"), [1.5, np.nan, -20.0])
    assert points_of(find_places(table)) == LONLAT


def test_text_in_a_number_column_is_refused_with_its_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, 'lon,lat,price,note\n1,2,3,"two\nlines"\n\n4,5,1 200,x\n')
    with pytest.raises(DataError, match=r"line 5: `price` is `1 200`: expected a number"):
        table.numbers("price")
    for value in ("1,5", "1_000", "inf", "£3"):
        table = table_of(tmp_path, f"lon;lat;price\n1;2;3\n1;2;{value}\n")
        with pytest.raises(DataError, match=f"line 3: `price` is `{value}`"):
            table.numbers("price")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf \n\n", "is empty"),
        ("a.csv", b"lon,lat,price\n", "is empty"),
        ("a.csv", b"lon,lat,price\n1,2,3\n1,2\n", "line 3: 2 cells, expected 3"),
        ("a.csv", b"lon,lat,price\n1,2,Stra\xdfe\n", "not UTF-8"),
        ("a.csv", b'lon,lat,price\n1,2,"3\n', "cannot be read as CSV"),
        ("a.geojson", b"", "is empty"),
        ("a.geojson", b"{", "cannot be read as GeoJSON"),
        ("a.geojson", b"[" * 100_000, "cannot be read as GeoJSON"),
        ("a.geojson", b'{"type": "Topology", "objects": {}}', "FeatureCollection"),
        ("a.geojson", collection([]).encode(), "is empty"),
        (
            "a.geojson",
            collection([{"geometry": {"type": "Point", "coordinates": ["a"]}}]).encode(),
            "feature 1: the geometry is not valid",
        ),
        ("a.parquet", b"PAR1 damaged PAR1", "cannot be read as Parquet"),
        ("a.parquet", b"", "cannot be read as Parquet"),
        ("a.xlsx", b"PK", "unknown format `.xlsx`"),
    ],
)
def test_damaged_and_empty_files_are_clear_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(GeojepaError, match=message) as raised:
        table_of(tmp_path, content, name)
    assert raised.value.hint is not None


def test_an_unknown_column_names_the_most_similar_one(tmp_path: Path) -> None:
    table = table_of(tmp_path, "lon,lat,price_1000usd,rooms,rooms\n1,2,3,4,5\n")
    with pytest.raises(UsageError, match="no column `price_usd`; did you mean `price_1000usd`"):
        table.require("price_usd")
    with pytest.raises(UsageError, match="2 columns `rooms`"):
        table.require("rooms")


def test_coordinates_are_converted_from_the_given_crs(tmp_path: Path) -> None:
    easting, northing = Transformer.from_crs("OGC:CRS84", "EPSG:25832", always_xy=True).transform(*np.transpose(LONLAT))
    rows = "".join(f"{x!r},{y!r},1\n" for x, y in zip(easting.tolist(), northing.tolist(), strict=True))
    table = table_of(tmp_path, "x,y,price\n" + rows)
    assert points_of(find_places(table, "EPSG:25832")) == LONLAT
    with pytest.raises(UsageError, match="states no CRS"):
        find_places(table)
    with pytest.raises(UsageError, match=r"`--crs EPSG:99999999` is not a CRS"):
        find_places(table, "EPSG:99999999")
    with pytest.raises(UsageError, match="is not a CRS of positions on the map"):
        find_places(table, "EPSG:4978")  # geocentric
    with pytest.raises(DataError, match=r"line 2: \(.*\) is not a position in WGS 84"):
        find_places(table, "EPSG:4326")
    # axes in the order of the file, whatever order the CRS has
    lonlat = table_of(tmp_path, "lon,lat,price\n8.55,48.75,1\n8.56,48.76,1\n8.57,48.74,1\n")
    assert points_of(find_places(lonlat, "EPSG:4326")) == LONLAT


def test_geojson_is_wgs84_unless_it_says_otherwise(tmp_path: Path) -> None:
    features = [feature(shapely.Point(*at), price=i) for i, at in enumerate(LONLAT)] + [feature(None, price=9)]
    places = find_places(table_of(tmp_path, collection(features), "a.geojson"))
    assert points_of(places) == LONLAT and places.counts == {"without a geometry": 1}
    forward = Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True)
    moved = [feature(shapely.Point(*forward.transform(*at)), price="2.5") for at in LONLAT]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    table = table_of(tmp_path, collection(moved, crs=crs), "b.geojson")
    assert points_of(find_places(table)) == LONLAT
    np.testing.assert_array_equal(table.numbers("price"), [2.5] * 3)
    with pytest.raises(UsageError, match="differs from the CRS of"):
        find_places(table, "EPSG:25832")
    assert points_of(find_places(table_of(tmp_path, collection(moved), "c.geojson"), "EPSG:3857")) == LONLAT


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_geoparquet_with_another_geometry_column_and_crs(tmp_path: Path, encoding: str) -> None:
    frame = geopandas.GeoDataFrame(
        {"price": [1, None, 3]}, geometry=[shapely.Point(*at) for at in LONLAT], crs="EPSG:4326"
    )
    frame = frame.to_crs("EPSG:25832").rename_geometry("footprint")
    frame.to_parquet(tmp_path / "a.parquet", geometry_encoding=encoding)
    table = read_table(tmp_path / "a.parquet")
    assert table.names == ["price"] and points_of(find_places(table)) == LONLAT
    np.testing.assert_array_equal(table.numbers("price"), [1, np.nan, 3])
    frame.set_crs(None, allow_override=True).to_parquet(tmp_path / "b.parquet")
    unknown = read_table(tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="states no CRS"):
        find_places(unknown)
    assert points_of(find_places(unknown, "EPSG:25832")) == LONLAT


def test_geometries_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    point, line = shapely.Point(1, 2), shapely.LineString([(1, 2), (2, 3)])
    for shapes, message in (
        ([point, line], "feature 2: the geometry is a LineString"),
        ([point, point.buffer(1)], "1 points and 1 polygons"),
        ([shapely.MultiPoint([(1, 2), (3, 4)])], "feature 1: the geometry is a MultiPoint"),
        ([None], "no row of .* has a geometry"),
    ):
        table = table_of(tmp_path, collection([feature(shape) for shape in shapes]), "a.geojson")
        with pytest.raises(DataError, match=message):
            find_places(table)
    single = table_of(tmp_path, collection([feature(shapely.MultiPoint([(1, 2)]))]), "a.geojson")
    assert points_of(find_places(single)) == [(1.0, 2.0)]


def test_polygons_that_cross_themselves_are_repaired_and_counted(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    good = shapely.box(0, 0, 1, 1)
    places = find_places(table_of(tmp_path, collection([feature(bow), feature(good)]), "a.geojson"))
    assert places.counts == {"invalid polygons repaired": 1}
    np.testing.assert_allclose(shapely.area(places.geometry), [2.0, 1.0])


def test_tiles_by_name(tmp_path: Path) -> None:
    table = table_of(tmp_path, "Tile,price\n16_18594_24620,1\n 16_18595_24620 ,2\n")
    assert find_places(table).tiles.tolist() == [[16, 18594, 24620], [16, 18595, 24620]]
    with pytest.raises(UsageError, match="tile names and no coordinates"):
        find_places(table, "EPSG:4326")
    twice = table_of(tmp_path, "tile,price\n16_1_2,1\n16_1_3,2\n16_1_2,2\n")
    with pytest.raises(DataError, match=r"line 4: tile `16_1_2` occurs twice, also in line 2"):
        find_places(twice)
    with pytest.raises(DataError, match=r"line 2: column `tile`: `roof` is not the name of a tile"):
        find_places(table_of(tmp_path, "tile,price\nroof,1\n"))


def test_rows_without_any_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no locations \(columns: `street`, `price`\)"):
        find_places(table_of(tmp_path, "street,price\na,1\n"))
    with pytest.raises(DataError, match=r"line 3: one of `lon` and `lat` is missing"):
        find_places(table_of(tmp_path, "lon,lat\n1,2\n1,\n"))


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


TILES = ["16_1_2", "16_1_3", "16_1_4"]
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_vectors_as_lists_of_any_type_or_as_numbered_columns_are_the_same(tmp_path: Path) -> None:
    flat = VECTORS.ravel()
    forms = {
        "fixed": {"vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), 4), "id": [1, 2, 3]},
        "list": {"Embedding": pa.array(VECTORS.tolist(), pa.list_(pa.float64()))},
        "half": {"other": pa.array(list(VECTORS.astype(np.float16)), pa.large_list(pa.float16()))},
        "numbered": {f"emb_{i}": VECTORS[:, i] for i in (2, 0, 3, 1)} | {"b01": [1, 2, 3], "b02": [1, 2, 3]},
        "letters": {f"A{i:02}": VECTORS[:, i].astype(np.int32) for i in range(4)} | {"x1": [1, 2, 3]},
    }
    for name, columns in forms.items():
        table = read_vectors(write(tmp_path / f"{name}.parquet", tile=TILES, **columns))
        np.testing.assert_array_equal(table.vectors, VECTORS, err_msg=name)
        assert table.vectors.dtype == np.float32 and table.places.kind == "tiles"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vector": [[1.0, 2.0], [1.0], [1.0, 2.0]]}, "row 2: the vector has 1 values, expected 2"),
        ({"vector": [[1.0], None, [2.0]]}, "row 2: column `vector` has no vector"),
        ({"vector": [[1.0], [np.nan], [2.0]]}, "row 2: the vector has a value that is missing or not finite"),
        ({"vector": [[1.0], [2.0], [np.inf]]}, "row 3: the vector has a value"),
        ({"vector": [[1.0], [2.0], [None]]}, "row 3: the vector has a value"),
        ({"vector": [[1.0], [1e300], [2.0]]}, "row 2: the vector has a value that is missing or not finite"),
        ({"emb_0": [1.0] * 3, "emb_1": [1.0, 2.0, -1e300]}, "row 3: the vector has a value"),
        ({"vector": pa.array([[], [], []], pa.list_(pa.float32()))}, "0 values"),
        ({"a": [[1.0]] * 3, "b": [[1.0]] * 3}, "several columns of lists"),
        ({"emb_0": [1.0] * 3, "emb_2": [1.0] * 3}, "lacks the vector column with number 1"),
        ({"price": [1.0] * 3}, "has no vectors"),
        ({"a_0": [1.0] * 3, "a_1": [1.0] * 3, "b_0": [1.0] * 3, "b_1": [1.0] * 3}, "has no vectors"),
    ],
)
def test_wrong_vectors_are_clear_errors(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.parquet", tile=TILES, **columns)
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        warnings.simplefilter("error")
        read_vectors(path)


PLACE = {"type": "Point", "coordinates": [1.5, 2.5]}


@pytest.mark.parametrize(
    ("content", "properties"),
    [
        (PLACE, {}),
        ({"type": "GeometryCollection", "geometries": [PLACE]}, {}),
        (
            {"type": "Feature", "properties": {"a": 3}, "geometry": {"type": "Point", "coordinates": [1.5, 2.5]}},
            {"a": 3},
        ),
    ],
)
def test_a_bare_feature_or_geometry_is_a_table_of_one_row(
    tmp_path: Path, content: dict[str, Any], properties: dict[str, Any]
) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    table = read_table(tmp_path / "a.geojson", "labels")
    assert table.geometry is not None and [shape.bounds for shape in table.geometry] == [(1.5, 2.5, 1.5, 2.5)]
    assert {name: table.column(name) for name in table.names} == {name: [value] for name, value in properties.items()}
