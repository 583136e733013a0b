"""STAC 1.0 metadata of exported vectors: an item and a collection with the embedding extension 0.0.1.

The extension describes vectors of pixels and of chips (here: tiles). It has no type for vectors of map entities and of
areas of any shape, and its schema rejects unknown keys. So their metadata have the prefix `geojepa:` instead of `emb:`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geojepa_cli.export.encoding import Encoding
from geojepa_cli.export.neighbours_kept import KeptNeighbours
from geojepa_cli.grid import Bounds

EMBEDDINGS = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
VERSION = "1.0.0"  # the schema of the extension requires this version
ITEM_FILE, COLLECTION_FILE, MODEL_FILE = "item.json", "collection.json", "model.json"
LICENSE = "ODbL-1.0"
CHIPS = ("tile", "group")  # levels whose vectors the extension can describe
OSM = "https://www.openstreetmap.org"
_GRID = "https://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad"
# An item needs an interval. OpenStreetMap began on this day; the end is unknown.
UNKNOWN_DATES = ("2004-08-09T00:00:00Z", "9999-12-31T23:59:59Z")
_MEDIA = {
    "geoparquet": "application/vnd.apache.parquet",
    "gpkg": "application/geopackage+sqlite3",
    "fgb": "application/vnd.flatgeobuf",
}
_TITLES = {"tile": "map tiles", "entity": "map entities", "group": "zoom-14 tiles", "area": "areas"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Product:
    """Facts about a file of exported vectors.

    Attributes:
        name: name of the export, unique in its workspace.
        level: `tile`, `entity`, `group` or `area`.
        file: name of the file.
        format: `geoparquet`, `gpkg` or `fgb`.
        model: reference to the model, `name@id`, or the name of a baseline.
        model_item: True if the folder has a STAC item of the model.
        regions: names of the regions.
        bounds: (west, south, east, north) in degrees.
        dates: dates of the oldest and the newest map data, as RFC 3339 texts; None if unknown.
        attribution: attribution lines.
        rows: number of vectors.
        zoom: zoom of the tiles or groups; None for entities and areas.
        chip_m: mean width of a tile or group on the ground, in metres.
        encoding: encoding of the vectors.
        space: form of the search space to which the vectors were mapped; `raw` if they were not.
        original_dtype: type of the vectors in `embeddings.h5`.
        kept: loss of the encoding; None if it was not measured, because the encoding changes nothing.
        parameters: parameters with which the vectors were made, by name.
    """

    name: str
    level: str
    file: str
    format: str
    model: str
    model_item: bool
    regions: Sequence[str]
    bounds: Bounds
    dates: tuple[str, str] | None
    attribution: Sequence[str]
    rows: int
    zoom: int | None
    chip_m: float | None
    encoding: Encoding
    space: str
    original_dtype: str
    kept: KeptNeighbours | None
    parameters: Mapping[str, Any]

    @property
    def prefix(self) -> str:
        """Prefix of the keys: `emb` where the extension can describe the vectors, otherwise `geojepa`."""
        return "emb" if self.level in CHIPS else "geojepa"

    @property
    def title(self) -> str:
        """Title of the vectors."""
        return f"Embeddings of {_TITLES[self.level]} by {self.model}"


def vectors_item(product: Product) -> Json:
    """Returns the STAC item of a file with vectors."""
    prefix = product.prefix
    properties: Json = {
        **interval(product.dates),
        "title": f"{product.title}: {', '.join(product.regions)}",
        "license": LICENSE,
        "providers": providers(product.attribution),
        f"{prefix}:runtime_parameters": dict(product.parameters),
        f"{prefix}:fit_for_use": ["similarity_search", "retrieval", "classification"],
        "geojepa:level": product.level,
        "geojepa:rows": product.rows,
        "geojepa:regions": list(product.regions),
        "geojepa:attribution": list(product.attribution),
    }
    if prefix == "geojepa":
        properties |= {"geojepa:dimensions": product.encoding.width, "data_type": product.encoding.dtype}
    if (quantization := _quantization(product)) is not None:
        properties[f"{prefix}:quantization"] = quantization
    if (text := _postprocessing(product)) is not None:
        properties[f"{prefix}:postprocessing"] = {"format": "python", "expression": text}
    if product.kept is not None:
        properties["geojepa:neighbours_kept"] = product.kept.to_json()
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [EMBEDDINGS] if prefix == "emb" else [],
        "id": product.name,
        "collection": _collection_id(product),
        "bbox": list(product.bounds),
        "geometry": rectangle(product.bounds),
        "properties": properties,
        "links": [
            {"rel": "root", "href": f"./{COLLECTION_FILE}", "type": "application/json"},
            {"rel": "parent", "href": f"./{COLLECTION_FILE}", "type": "application/json"},
            {"rel": "collection", "href": f"./{COLLECTION_FILE}", "type": "application/json"},
            *_links(product, "source-data"),
        ],
        "assets": {"embeddings": {"href": f"./{product.file}", **_asset(product)}},
    }


def vectors_collection(product: Product) -> Json:
    """Returns the STAC collection of the item."""
    prefix = product.prefix
    dates = product.dates or (UNKNOWN_DATES[0], None)
    described: Json = {
        f"{prefix}:type": "chip" if prefix == "emb" else product.level,
        f"{prefix}:dimensions": product.encoding.width,
        "data_type": product.encoding.dtype,
        f"{prefix}:fit_for_use": ["similarity_search", "retrieval", "classification"],
    }
    if product.zoom is not None:
        described["emb:chip_layout"] = {
            "layout_type": "named_grid",
            "grid_id": f"WebMercatorQuad/{product.zoom}",
            "grid_definition": {"rel": "about", "href": _GRID, "title": f"zoom {product.zoom}"},
        }
    if product.chip_m is not None:
        described["gsd"] = round(product.chip_m, 1)
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "stac_extensions": [EMBEDDINGS] if prefix == "emb" else [],
        "id": _collection_id(product),
        "title": product.title,
        "description": f"{product.title}, made by geojepa from OpenStreetMap data. {' '.join(product.attribution)}",
        "license": LICENSE,
        "providers": providers(product.attribution),
        "extent": {"spatial": {"bbox": [list(product.bounds)]}, "temporal": {"interval": [list(dates)]}},
        **described,
        "links": [
            {"rel": "root", "href": f"./{COLLECTION_FILE}", "type": "application/json"},
            {"rel": "item", "href": f"./{ITEM_FILE}", "type": "application/geo+json"},
            {"rel": "license", "href": f"{OSM}/copyright", "type": "text/html"},
            *_links(product, "model", "source-data"),
        ],
        "item_assets": {"embeddings": _asset(product)},
    }


def interval(dates: tuple[str, str] | None) -> Json:
    """Returns the date properties of a STAC item.

    Args:
        dates: dates of the oldest and the newest data; None if unknown.
    """
    first, last = dates or UNKNOWN_DATES
    if first == last:
        return {"datetime": first}
    return {"datetime": None, "start_datetime": first, "end_datetime": last}


def providers(attribution: Sequence[str]) -> list[Json]:
    """Returns the providers of the data. The attribution lines name them."""
    return [
        {
            "name": "OpenStreetMap contributors",
            "roles": ["producer", "licensor"],
            "url": f"{OSM}/copyright",
            "description": "; ".join(attribution),
        }
    ]


def rectangle(bounds: Bounds) -> Json:
    """Returns bounds in degrees as a GeoJSON polygon."""
    west, south, east, north = bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def model_urn(model: str) -> str:
    """Returns the identifier of a model, `name@id`, as a URN."""
    return f"urn:geojepa:model:{model.replace('@', ':')}"


def _collection_id(product: Product) -> str:
    return f"{product.model.replace('@', '-')}.{product.level}"


def _links(product: Product, *kinds: str) -> list[Json]:
    """Returns the links to the model and to the source data."""
    found: list[Json] = []
    for kind in kinds:
        if kind == "source-data":
            title = f"OpenStreetMap data of {', '.join(product.regions)}"
            found.append({"rel": f"{product.prefix}:{kind}", "href": OSM, "type": "text/html", "title": title})
        elif product.model_item:
            found.append(
                {
                    "rel": f"{product.prefix}:{kind}",
                    "href": f"./{MODEL_FILE}",
                    "type": "application/geo+json",
                    "title": product.model,
                }
            )
        else:
            href = model_urn(product.model)
            found.append({"rel": f"{product.prefix}:{kind}", "href": href, "title": product.model})
    return found


def _postprocessing(product: Product) -> str | None:
    """Returns how a stored vector is computed from that of the model. None if it is the same."""
    steps = {
        "raw": "vector",
        "centred": "unit(vector - mean)",
        "balanced": "unit((vector - mean) * scale)",
        "whitened": "unit((vector - mean) @ matrix)",
    }
    found = steps[product.space]
    projection = product.encoding.projection
    if projection is None:
        return None if product.space == "raw" else found
    share = f"{projection.explained:.6f} of the squared length remain"
    return f"components @ {found}, principal components, {share}"


def _asset(product: Product) -> Json:
    return {"type": _MEDIA[product.format], "roles": ["data"], "title": product.title}


def _quantization(product: Product) -> Json | None:
    encoding = product.encoding
    if encoding.dtype == product.original_dtype or encoding.dtype == "float32":
        return None
    found: Json = {"method": "linear" if encoding.scale is not None else "none"}
    found |= {"original_dtype": product.original_dtype, "quantized_dtype": encoding.dtype}
    if encoding.scale is not None and encoding.offset is not None:
        found["scale"] = [_shortest(value) for value in encoding.scale.tolist()]
        found["offset"] = [_shortest(value) for value in encoding.offset.tolist()]
    return found


def _shortest(value: float) -> float:
    """Returns the shortest decimal number that is closest to a float32 value."""
    return float(f"{value:.9g}")
