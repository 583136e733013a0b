"""Entities that a user has drawn: reads them from GeoJSON, and writes them as OSM elements."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import TileId, tile_bounds, tile_of
from geojepa_cli.sources.raw_table import CORRECTED, RawTable
from geojepa_cli.sources.table_files import GEOJSON, WGS84, read_table

MAX_FEATURES = 10_000
MAX_LATITUDE = 85.05
LONGEST = 255  # characters of a key or value in OSM
AREA = ("area", "yes")  # makes a closed way an area, whatever its other tags are
_IGNORED = ("id", "@id", "fid", "stroke", "fill", "stroke-width", "stroke-opacity", "fill-opacity", "marker-color")
_TYPES = ("Point", "LineString", "Polygon", "MultiPolygon")


@dataclass(frozen=True)
class DrawnEntity:
    """A drawn entity.

    Attributes:
        tags: OSM tags.
        geometry: shapely Point, LineString, Polygon or MultiPolygon in WGS84.
    """

    tags: Mapping[str, str]
    geometry: Any


@dataclass(frozen=True)
class Drawing:
    """Drawn entities.

    Attributes:
        entities: the entities, at least one.
        checksum: checksum of the file.
    """

    entities: tuple[DrawnEntity, ...]
    checksum: str

    @cached_property
    def has_area_tag(self) -> bool:
        """True if a drawn entity itself has the tag `area=yes`."""
        return any(one.tags.get(AREA[0]) == AREA[1] for one in self.entities)

    @property
    def centres(self) -> tuple[tuple[float, float], ...]:
        """Longitude and latitude of the centroid of each drawn entity, in degrees."""
        return tuple((one.geometry.centroid.x, one.geometry.centroid.y) for one in self.entities)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in degrees."""
        import shapely

        west, south, east, north = shapely.total_bounds([one.geometry for one in self.entities]).tolist()
        return west, south, east, north

    def within_one_tile(self, zoom: int) -> tuple[Drawing, bool]:
        """Moves a drawing that crosses edges of tiles but is small enough to the centre of its tile.

        The move is a shift on the Web Mercator map by at most half a tile, which changes lengths by less than 0.1 %.

        Returns:
            The drawing, moved or not; and True if it now lies in one tile.
        """
        import numpy as np
        import shapely

        west, south, east, north = self.bounds
        home = tile_of((west + east) / 2, (south + north) / 2, zoom)
        if _contains(home, self.bounds):
            return self, True
        size = 1.0 / (1 << zoom)
        (x0, y1), (x1, y0) = (_mercator(lon, lat) for lon, lat in ((west, south), (east, north)))
        if max(x1 - x0, y1 - y0) > 0.98 * size:
            return self, False
        shift_x, shift_y = (home.x + 0.5) * size - (x0 + x1) / 2, (home.y + 0.5) * size - (y0 + y1) / 2

        def moved(points: Any) -> Any:
            found = [_mercator(lon, lat) for lon, lat in points.tolist()]
            return np.array([_degrees(x + shift_x, y + shift_y) for x, y in found])

        entities = tuple(replace(one, geometry=shapely.transform(one.geometry, moved)) for one in self.entities)
        return replace(self, entities=entities), True


def read_drawing(path: Path) -> Drawing:
    """Reads drawn entities from a GeoJSON file: points, lines and polygons with OSM tags as properties.

    Values that are true or false become `yes` and `no`. Properties without a value, and those that drawing programs
    add (`id`, `stroke`, `fill`, …), are ignored.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file name has another extension than `.geojson` or `.json`.
        DataError: the file is damaged, or an entity has no tag, another geometry, or a tag that OSM cannot have.
    """
    if not path.is_file():
        raise NotFoundError(f"`{path}` is not a file", hints.again(draw="FILE.geojson"))
    if path.suffix.lower() not in GEOJSON:
        raise UsageError(f"`{path}`: expected a GeoJSON file (.geojson)", hints.again(draw="FILE.geojson"))
    table = read_table(path, "draw")
    if table.crs not in (None, WGS84, "urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"):
        raise DataError(f"`{path}` has the CRS `{table.crs}`: expected WGS84", hints.again(draw="FILE.geojson"))
    if len(table.row_names) > MAX_FEATURES:
        message = f"`{path}` has {len(table.row_names):,} features: expected at most {MAX_FEATURES:,}"
        raise DataError(message, hints.again(draw="FILE.geojson"))
    entities = tuple(_entity(table, row) for row in range(len(table.row_names)))
    return Drawing(entities, f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}")


def write_osm(drawing: Drawing, path: Path) -> None:
    """Writes a drawing as OSM elements, sorted by type and id.

    Points become nodes and lines ways. A polygon without holes becomes a closed way with the additional tag `AREA`,
    other polygons become multipolygon relations.

    Args:
        drawing: drawn entities.
        path: file to write. Its name must end in `.osm.pbf`.
    """
    import osmium
    from osmium.osm.mutable import Node, Relation, Way

    nodes: list[Node] = []
    ways: list[Way] = []
    relations: list[Relation] = []

    def add_way(ring: Any, tags: Mapping[str, str]) -> int:
        refs = []
        points = list(ring.coords)
        closed = points[0] == points[-1]
        for point in points[: len(points) - closed]:
            nodes.append(Node(id=len(nodes) + 1, location=(point[0], point[1]), version=1, visible=True))
            refs.append(len(nodes))
        ways.append(Way(id=len(ways) + 1, nodes=refs + refs[:1] * closed, tags=dict(tags), version=1, visible=True))
        return len(ways)

    for one in drawing.entities:
        geometry, tags = one.geometry, one.tags
        if geometry.geom_type == "Point":
            location = (geometry.x, geometry.y)
            nodes.append(Node(id=len(nodes) + 1, location=location, tags=dict(tags), version=1, visible=True))
        elif geometry.geom_type == "LineString":
            add_way(geometry, tags)
        elif geometry.geom_type == "Polygon" and not geometry.interiors:
            add_way(geometry.exterior, {**tags, AREA[0]: AREA[1]})
        else:
            members = [("w", add_way(ring, {}), role) for ring, role in _rings(geometry)]
            tags = {**tags, "type": "multipolygon"}
            relations.append(Relation(id=len(relations) + 1, members=members, tags=tags, version=1, visible=True))
    writer = osmium.SimpleWriter(osmium.io.File(str(path), "pbf"))
    try:
        for node in nodes:
            writer.add_node(node)
        for way in ways:
            writer.add_way(way)
        for relation in relations:
            writer.add_relation(relation)
    finally:
        writer.close()


def _entity(table: RawTable, row: int) -> DrawnEntity:
    import shapely

    shape = None if table.geometry is None else table.geometry[row]
    if shape is None or shape.is_empty:
        raise table.wrong(row, "there is no geometry")
    shape = shapely.force_2d(shape)
    if shape.geom_type.startswith("Multi") and len(shape.geoms) == 1:
        shape = shape.geoms[0]
    if shape.geom_type not in _TYPES:
        raise table.wrong(
            row, f"the geometry is a {shape.geom_type}: expected {', '.join(_TYPES[:-1])} or {_TYPES[-1]}"
        )
    west, south, east, north = shape.bounds
    if not all(map(math.isfinite, shape.bounds)) or west < -180 or east > 180 or max(-south, north) > MAX_LATITUDE:
        raise table.wrong(row, f"the bounds {shape.bounds} are not on the map: expected WGS84, longitude first")
    if not shape.is_valid:
        raise table.wrong(row, f"the geometry is not valid: {shapely.is_valid_reason(shape)}")
    tags = {name: text for name in table.names if (text := _value(table, row, name)) is not None}
    if not tags:
        raise table.wrong(
            row, "the feature has no tag: expected OSM tags as properties, such as `highway: residential`"
        )
    return DrawnEntity(tags, shape)


def _value(table: RawTable, row: int, name: str) -> str | None:
    value = table.column(name)[row]
    if value is None or value == "" or name in _IGNORED:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str | int | float):
        raise table.wrong(row, f"`{name}` is a {type(value).__name__}: expected text, such as `residential`")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if max(len(name), len(text)) > LONGEST:
        hint = hints.again().noting(CORRECTED)
        raise table.wrong(row, f"a key or value has more than {LONGEST} characters", hint)
    return text


def _rings(geometry: Any) -> Iterator[tuple[Any, str]]:
    for polygon in getattr(geometry, "geoms", [geometry]):
        yield polygon.exterior, "outer"
        for ring in polygon.interiors:
            yield ring, "inner"


def _contains(tile: TileId, bounds: tuple[float, float, float, float]) -> bool:
    west, south, east, north = tile_bounds(*tile)
    return west <= bounds[0] and bounds[2] < east and south < bounds[1] and bounds[3] <= north


def _mercator(lon: float, lat: float) -> tuple[float, float]:
    """Returns the position on the Web Mercator map as fractions of its side, from the west and from the north."""
    return (lon + 180.0) / 360.0, (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0


def _degrees(x: float, y: float) -> tuple[float, float]:
    return x * 360.0 - 180.0, math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y))))
