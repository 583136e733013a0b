"""Reads tables from CSV, GeoJSON and Parquet files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.sources.raw_table import CORRECTED, RawTable, empty_table, unreadable

CSV, GEOJSON, PARQUET = (".csv", ".tsv", ".txt"), (".geojson", ".json"), (".parquet", ".geoparquet", ".pq")
DELIMITERS = ",;\t|"
GEOMETRIES = (
    *("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"),
)
WGS84 = "OGC:CRS84"  # longitude before latitude


def read_table(path: Path, option: str = "labels") -> RawTable:
    """Reads a table from a CSV, GeoJSON or Parquet file. The file name's extension determines the format.

    CSV files are UTF-8, with or without a byte order mark, and separated by `,`, `;`, `|` or tabs. A GeoJSON file is a
    feature collection. Parquet files may have geometries (GeoParquet) or none.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file name has another extension.
        DataError: the file is damaged or has no rows.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise NotFoundError(f"`{path}` is not a file", hints.again(**{option: "FILE"}))
    if suffix in CSV:
        return _read_csv(path, option)
    if suffix in GEOJSON:
        return _read_geojson(path, option)
    if suffix in PARQUET:
        return _read_parquet(path)
    expected = "expected CSV (.csv), GeoJSON (.geojson) or Parquet (.parquet)"
    raise UsageError(
        f"`{path}` has an unknown format `{suffix or path.name}`: {expected}", hints.again(**{option: "FILE"})
    )


def parquet_file(path: Path) -> tuple[Any, bytes | None]:
    """Opens a Parquet file.

    Returns the `pyarrow.parquet.ParquetFile`, and the GeoParquet metadata (None if the file has no geometries).

    Raises:
        DataError: the file is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        opened = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, "Parquet", error) from error
    return opened, (opened.metadata.metadata or {}).get(b"geo")


def _text(path: Path, form: str, option: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.start:,} is not UTF-8"
        again = hints.again().after(hints.shell("iconv", "-f", "latin1", "-t", "utf-8", str(path), "-o", "FILE"))
        raise DataError(f"`{path}` cannot be read as {form}: {found}", again.adding(**{option: "FILE"})) from error


def _read_csv(path: Path, option: str) -> RawTable:
    text = _text(path, "CSV", option)
    if not text.strip():
        raise empty_table(path)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    lines: list[str] = []
    before = 0
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                records.append(record)
                lines.append(f"line {before + 1}")
            before = reader.line_num
    except csv.Error as error:
        raise unreadable(path, "CSV", f"line {reader.line_num}: {error}") from error
    names = [name.strip() for name in records[0]]
    for record, line in zip(records[1:], lines[1:], strict=True):
        if len(record) != len(names):
            message = f"`{path}`, {line}: {len(record)} cells, expected {len(names)} as in the first line"
            raise DataError(message, hints.again().noting(CORRECTED))
    if len(records) == 1:
        raise empty_table(path)

    def column(name: str) -> list[Any]:
        place = names.index(name)
        return [record[place] for record in records[1:]]

    return RawTable(path, names, lines[1:], column)


def _delimiter(text: str) -> str:
    """Returns the delimiter that splits the first line into the most cells. Quoted delimiters do not split a line."""
    first = next(line for line in text.splitlines() if line.strip())

    def cells(delimiter: str) -> int:
        return len(next(csv.reader([first], delimiter=delimiter)))

    return max(DELIMITERS, key=cells)  # the first of the best


def _read_geojson(path: Path, option: str) -> RawTable:
    import numpy as np
    import shapely

    try:
        content = json.loads(_text(path, "GeoJSON", option) or "null")
    except (ValueError, RecursionError) as error:
        raise unreadable(path, "GeoJSON", error) from error
    if content is None:
        raise empty_table(path)
    features = _features_of(content)
    if features is None:
        expected = "expected a `FeatureCollection` with a list of `features`, a `Feature`, or a geometry"
        raise unreadable(path, "GeoJSON", expected)
    if not features:
        raise empty_table(path)
    given = (one.get("properties") for one in features)
    rows: list[dict[str, Any]] = [one if isinstance(one, dict) else {} for one in given]
    shapes = [one.get("geometry") for one in features]
    try:
        texts = [None if shape is None else json.dumps(shape) for shape in shapes]
        geometry = shapely.from_geojson(np.array(texts, object), on_invalid="ignore")
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise unreadable(path, "GeoJSON", error) from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    row_names = [f"feature {number}" for number in range(1, len(rows) + 1)]
    table = RawTable(path, names, row_names, lambda name: [row.get(name) for row in rows], geometry, _crs_of(content))
    for number, (shape, found) in enumerate(zip(shapes, geometry, strict=True)):
        if shape is not None and found is None:
            raise table.wrong(number, "the geometry is not valid GeoJSON")
    return table


def _features_of(content: Any) -> list[dict[str, Any]] | None:
    """Returns the features of a GeoJSON object (RFC 7946, section 1.4); None if it is none.

    A bare feature is one feature, and so is a bare geometry, which has no properties.
    """
    if not isinstance(content, dict):
        return None
    if content.get("type") in GEOMETRIES:
        return [{"type": "Feature", "properties": {}, "geometry": content}]
    if content.get("type") == "Feature":
        return [content]
    features = content.get("features")
    return features if isinstance(features, list) and all(isinstance(one, dict) for one in features) else None


def _crs_of(content: dict[str, Any]) -> str:
    """Returns the CRS of a GeoJSON file: the member `crs`, which older files may have, otherwise WGS84."""
    member = content.get("crs")
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return name if isinstance(name, str) else WGS84


def _read_parquet(path: Path) -> RawTable:
    import pyarrow

    opened, geo = parquet_file(path)
    if not opened.metadata.num_rows:
        raise empty_table(path)
    geometry, crs, hidden = read_geometry(path, geo) if geo is not None else (None, None, set())
    names = [name for name in opened.schema_arrow.names if name not in hidden]
    row_names = [f"row {number}" for number in range(1, opened.metadata.num_rows + 1)]

    def column(name: str) -> list[Any]:
        try:
            found: list[Any] = opened.read([name]).column(0).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(path, "Parquet", error) from error
        return found

    return RawTable(path, names, row_names, column, geometry, crs)


def read_geometry(path: Path, geo: bytes) -> tuple[Any, str | None, set[str]]:
    """Reads the geometries of a GeoParquet file.

    Args:
        path: path of the file.
        geo: GeoParquet metadata of the file.

    Returns:
        Three values: the geometries of the primary geometry column, as an array of shapely geometries; their CRS as
        WKT, or None if the file says that the CRS is unknown; and the names of all geometry columns.

    Raises:
        DataError: the metadata or the geometries are damaged.
    """
    import geopandas
    import pyarrow
    import shapely

    try:
        known = json.loads(geo)
        primary, columns = known["primary_column"], set(known["columns"])
        series = geopandas.read_parquet(path, columns=[primary]).geometry
        crs = None if series.crs is None else series.crs.to_wkt()
        return series.to_numpy(), crs, columns
    except (ValueError, KeyError, TypeError, OSError, pyarrow.ArrowException, shapely.errors.ShapelyError) as error:
        raise unreadable(path, "GeoParquet", error) from error
