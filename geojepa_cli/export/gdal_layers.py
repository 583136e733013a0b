"""Writes vectors as GeoPackage or FlatGeobuf for QGIS, with colours from their first three principal components."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from geojepa_cli.console import Meter
from geojepa_cli.export.components import Colours
from geojepa_cli.export.encoding import Encoding
from geojepa_cli.export.features import Features
from geojepa_cli.export.vector_rows import VectorRows
from geojepa_cli.store.csr import Rows

DRIVERS = {"gpkg": "GPKG", "fgb": "FlatGeobuf"}
VECTOR, GEOMETRY = "vector", "geometry"
_AT_ONCE = 2048  # rows that are converted together
_COLOURS = ("red", "green", "blue")
_DATE = "1970-01-01T00:00:00.000Z"  # GeoPackage stores a date of change; a fixed one gives the same bytes every time


class Layer(NamedTuple):
    """Everything that is written to a layer.

    Attributes:
        name: name of the layer.
        features: geometry and attributes of the rows.
        vectors: vectors of the rows, before encoding.
        encoding: encoding of the vectors; None to leave vectors out.
        colours: map from vectors to colours.
        order: row numbers in the order of the file, int64 [n].
    """

    name: str
    features: Features
    vectors: VectorRows
    encoding: Encoding | None
    colours: Colours
    order: Rows


def write_layer(path: Path, driver: str, layer: Layer, meter: Meter) -> None:
    """Writes a file with one layer. Lists become JSON texts, and vectors the bytes of their values, little-endian.

    Args:
        path: file to write.
        driver: `gpkg` or `fgb`.
        layer: content of the layer.
        meter: progress display, which counts rows.
    """
    import pyogrio

    schema = _schema(layer)
    kinds = layer.features.geometry_types
    options: dict[str, Any] = {
        "layer": layer.name,
        "driver": DRIVERS[driver],
        "geometry_name": GEOMETRY,
        "geometry_type": kinds[0] if len(kinds) == 1 else "Unknown",
        "crs": "EPSG:4326",
        "dataset_options": {"VERSION": "1.2"} if driver == "gpkg" else None,  # which older versions of QGIS read
    }
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        batches = pa.RecordBatchReader.from_batches(schema, _batches(schema, layer, meter))
        pyogrio.write_arrow(batches, path, **options)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _schema(layer: Layer) -> pa.Schema:
    own = [(field.name, pa.string() if pa.types.is_list(field.type) else field.type) for field in layer.features.fields]
    colours = [*((name, pa.int16()) for name in _COLOURS), ("colour", pa.string())]
    vector = [(VECTOR, pa.binary())] if layer.encoding is not None else []
    return pa.schema([*own, *colours, *vector, (GEOMETRY, pa.binary())])


def _batches(schema: pa.Schema, layer: Layer, meter: Meter) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(layer.order), _AT_ONCE):
        rows = layer.order[first : first + _AT_ONCE]
        columns, geometry = layer.features.attributes(rows), layer.features.geometry(rows)
        vectors = layer.vectors.read(rows)
        rgb = layer.colours.apply(vectors)
        values: dict[str, Any] = {name: _plain(values) for name, values in columns.items()}
        values |= {name: rgb[:, i].astype(np.int16) for i, name in enumerate(_COLOURS)}
        values["colour"] = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in rgb.tolist()]
        if layer.encoding is not None:
            stored = layer.encoding.encode(vectors)
            values[VECTOR] = [row.tobytes() for row in stored.astype(stored.dtype.newbyteorder("<"))]
        values[GEOMETRY] = shapely.to_wkb(geometry)
        yield pa.RecordBatch.from_arrays([pa.array(values[f.name], f.type) for f in schema], schema=schema)
        meter.update(first + len(rows))


def _plain(values: list[Any]) -> list[Any]:
    return [json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for value in values]
