"""Writes vectors as GeoParquet 1.1: Hilbert order, bounding boxes, ZSTD, one vector per row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geojepa_cli.console import Meter
from geojepa_cli.export.encoding import Encoding
from geojepa_cli.export.features import Features
from geojepa_cli.export.piece_geometry import Geometries
from geojepa_cli.export.vector_rows import VectorRows
from geojepa_cli.grid import Bounds
from geojepa_cli.store.csr import Rows

VECTOR, GEOMETRY, BBOX = "vector", "geometry", "bbox"
LISTS = ("fixed", "variable")
GROUP_BYTES = 128 << 20  # of the values in a row group, before compression
_OTHER_BYTES = 256  # of a row without its vector, roughly
_AT_ONCE = 2048  # rows that are converted together
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def write_geoparquet(
    path: Path,
    features: Features,
    vectors: VectorRows,
    encoding: Encoding,
    order: Rows,
    bounds: Bounds,
    header: Mapping[str, Any],
    lists: str,
    meter: Meter,
) -> None:
    """Writes a GeoParquet file. At most one row group is in memory.

    Args:
        path: file to write.
        features: geometry and attributes of the rows.
        vectors: vectors of the rows, before encoding.
        encoding: encoding of the vectors.
        order: row numbers in the order of the file, int64 [n].
        bounds: (west, south, east, north) of all geometries in degrees.
        header: STAC item of the file, for the key `emb` of its metadata.
        lists: `fixed` or `variable`: type of the list of a vector's values.
        meter: progress display, which counts rows.
    """
    schema = _schema(features, encoding, lists).with_metadata(
        {"geo": _json(_geo_metadata(features, bounds)), "emb": _json(header)}
    )
    plain = [name for name in features.fields.names if pa.types.is_string(features.fields.field(name).type)]
    rows = max(1, GROUP_BYTES // (encoding.width * np.dtype(encoding.dtype).itemsize + _OTHER_BYTES))
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=plain,
        write_statistics=[*plain, *(f"{BBOX}.{side}" for side in _SIDES)],
    ) as writer:
        done = 0
        for first in range(0, len(order), rows):
            batches = list(_batches(schema, features, vectors, encoding, order[first : first + rows]))
            writer.write_table(pa.Table.from_batches(batches), row_group_size=rows)
            done += sum(batch.num_rows for batch in batches)
            meter.update(done)


def total_bounds(features: Features) -> Bounds:
    """Returns the bounds (west, south, east, north) of all geometries in degrees. They are read in parts."""
    sides = np.array([np.inf, np.inf, -np.inf, -np.inf])
    for first in range(0, features.count, _AT_ONCE):
        found = _bounds(features.geometry(np.arange(first, min(first + _AT_ONCE, features.count))))
        sides[:2] = np.minimum(sides[:2], found[:, :2].min(axis=0))
        sides[2:] = np.maximum(sides[2:], found[:, 2:].max(axis=0))
    west, south, east, north = sides.tolist()
    return west, south, east, north


def _schema(features: Features, encoding: Encoding, lists: str) -> pa.Schema:
    value = pa.field("element", pa.from_numpy_dtype(np.dtype(encoding.dtype)), nullable=False)
    vector = pa.list_(value, encoding.width) if lists == "fixed" else pa.list_(value)
    boxes = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in _SIDES])
    more = [
        pa.field(VECTOR, vector, nullable=False),
        pa.field(BBOX, boxes, nullable=False),
        pa.field(GEOMETRY, pa.binary(), nullable=False),
    ]
    return pa.schema([*features.fields, *more])


def _batches(
    schema: pa.Schema, features: Features, vectors: VectorRows, encoding: Encoding, order: Rows
) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(order), _AT_ONCE):
        rows = order[first : first + _AT_ONCE]
        columns, geometry = features.attributes(rows), features.geometry(rows)
        arrays = [pa.array(columns[field.name], field.type) for field in features.fields]
        arrays.append(_lists(encoding.encode(vectors.read(rows)), schema.field(VECTOR).type))
        arrays += [_boxes(geometry, schema.field(BBOX).type), pa.array(shapely.to_wkb(geometry), pa.binary())]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _lists(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    flat = pa.array(values.reshape(-1))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), flat, type=kind)


def _boxes(geometry: Geometries, kind: pa.DataType) -> pa.Array:
    bounds = _bounds(geometry)
    return pa.StructArray.from_arrays([pa.array(bounds[:, i]) for i in range(4)], fields=list(kind))


def _bounds(geometry: Geometries) -> NDArray[np.float64]:
    """Returns the bounds of each geometry, float64 [n, 4].

    `shapely.bounds` ignores inner rings, which can reach past the outer ring of an invalid polygon.
    """
    positions, owner = shapely.get_coordinates(geometry, return_index=True)
    starts = np.searchsorted(owner, np.arange(len(geometry)))
    return np.hstack([np.minimum.reduceat(positions, starts), np.maximum.reduceat(positions, starts)])


def _geo_metadata(features: Features, bounds: Bounds) -> dict[str, Any]:
    """Returns the GeoParquet metadata. A file without a CRS has longitude and latitude in WGS84 (OGC:CRS84)."""
    column = {
        "encoding": "WKB",
        "geometry_types": features.geometry_types,
        "edges": "planar",
        "bbox": list(bounds),
        "covering": {"bbox": {side: [BBOX, side] for side in _SIDES}},
    }
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
