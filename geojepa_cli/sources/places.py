"""Finds the locations of the rows of a table: tiles, points or polygons. Coordinates are converted to WGS84."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import parse_tile
from geojepa_cli.sources.raw_table import CORRECTED, LAT, LON, TILE, Geometries, RawTable, X, Y
from geojepa_cli.sources.table_files import WGS84

if TYPE_CHECKING:
    from pyproj import CRS

Kind = Literal["tiles", "points", "polygons"]
NO_GEOMETRY, REPAIRED = "without a geometry", "invalid polygons repaired"
EXAMPLE_CRS = "EPSG:4326"


@dataclass(frozen=True)
class Places:
    """Locations of the rows of a table: one tile, point or polygon for each row that has a location.

    Attributes:
        kind: `tiles`, `points` or `polygons`; the same for all rows.
        rows: row numbers of the m rows that have a location, int64 [m].
        tiles: zoom, x and y of each row's tile, int64 [m, 3]; empty if the locations are points or polygons.
        geometry: point or (multi)polygon of each row in WGS84, shapely [m]; empty if the locations are tiles.
        counts: dict with the number of rows without a geometry, and the number of repaired polygons.
    """

    kind: Kind
    rows: NDArray[np.int64]
    tiles: NDArray[np.int64]
    geometry: Geometries
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def lonlat(self) -> NDArray[np.float64]:
        """Longitude and latitude, in degrees, of each point, or of a point inside each polygon: float64 [m, 2]."""
        import shapely

        points = self.geometry if self.kind == "points" else shapely.point_on_surface(self.geometry)
        found: NDArray[np.float64] = shapely.get_coordinates(points)
        return found


def find_places(table: RawTable, crs: str | None = None) -> Places:
    """Finds the location of each row of a table.

    The locations are read from the column `tile`. If there is no such column, they are read from the geometries. If
    there are no geometries, they are read from the columns `lon` and `lat`, or `x` and `y`.

    Args:
        table: table with the rows.
        crs: CRS of the coordinates, such as `EPSG:2248`. Default: the CRS that the file states, or WGS84 for columns
            `lon` and `lat`.

    Raises:
        UsageError: the table has no locations, the CRS is not known, or `crs` differs from the CRS of the file.
        DataError: a location is invalid. The message names the row.
    """
    if (name := table.find([TILE])) is not None:
        if crs is not None:
            message = f"`--crs {crs}` cannot be used: `{table.path}` has tile names and no coordinates"
            raise UsageError(message, _without_crs(crs))
        return _tiles(table, name)
    geometry, stated = table.geometry, table.crs
    if geometry is None:
        geometry, stated = _points(table, crs)
    return _in_wgs84(table, geometry, _choose_crs(table, stated, crs))


def _tiles(table: RawTable, name: str) -> Places:
    tiles = []
    seen: dict[tuple[int, int, int], int] = {}
    for row, value in enumerate(table.column(name)):
        try:
            tile = parse_tile(str(value))
        except UsageError as error:
            raise table.wrong(row, f"column `{name}`: {error.message}") from None
        if tile in seen:
            first = table.row_names[seen[tile]]
            raise table.wrong(row, f"tile `{tile.name}` occurs twice, also in {first}: expected one row per tile")
        seen[tile] = row
        tiles.append(tile)
    found = np.array(tiles, np.int64).reshape(-1, 3)
    return Places("tiles", np.arange(len(found)), found, np.empty(0, object))


def _points(table: RawTable, crs: str | None) -> tuple[Geometries, str | None]:
    """Makes points from two columns of coordinates: `lon` and `lat`, or `x` and `y`.

    Returns the points and their CRS. The CRS is WGS84 for `lon` and `lat`. It is None for `x` and `y`, and if the user
    gave a CRS.
    """
    import shapely

    lon, lat = table.find(LON), table.find(LAT)
    x, y = table.find(X), table.find(Y)
    if lon is not None and lat is not None:
        columns, stated = (lon, lat), None if crs else WGS84
    elif x is not None and y is not None:
        columns, stated = (x, y), None
    else:
        known = ", ".join(f"`{name}`" for name in table.names[:8]) + (" …" if len(table.names) > 8 else "")
        expected = "expected geometries, a column `tile`, columns `lon` and `lat`, or columns `x` and `y`"
        hint = hints.again().noting("after the columns of the places are renamed")
        raise UsageError(f"`{table.path}` has no locations (columns: {known}): {expected}", hint)
    first, second = (table.numbers(name) for name in columns)
    for row in np.flatnonzero(np.isnan(first) != np.isnan(second))[:1].tolist():
        raise table.wrong(row, f"one of `{columns[0]}` and `{columns[1]}` is missing")
    points = np.full(len(first), None, object)
    known_rows = ~np.isnan(first)
    points[known_rows] = shapely.points(first[known_rows], second[known_rows])
    return points, stated


def _choose_crs(table: RawTable, stated: str | None, wanted: str | None) -> CRS:
    found = None if stated is None else _parse(stated, f"`{table.path}` states a CRS that is unknown", None)
    if wanted is None:
        if found is None:
            message = f"`{table.path}` states no CRS for its coordinates"
            raise UsageError(message, hints.again(crs=EXAMPLE_CRS).noting("or the code of another CRS"))
        return found
    given = _parse(wanted, f"`--crs {wanted}` is not a CRS", wanted)
    # GeoJSON without the member `crs` is WGS84 by its definition, but is often written in another CRS
    if found is not None and stated != WGS84 and not given.equals(found, ignore_axis_order=True):
        message = f"`--crs {wanted}` differs from the CRS of `{table.path}`, {found.name}"
        raise UsageError(message, _without_crs(wanted))
    return given


def _parse(text: str, problem: str, option: str | None) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    hint = hints.again(crs=EXAMPLE_CRS).noting("or the code of another CRS")
    try:
        found = CRS.from_user_input(text)
    except CRSError as error:
        raise (UsageError if option else DataError)(f"{problem}: {str(error)[:120]}", hint) from None
    if not found.is_geographic and not found.is_projected:
        raise (UsageError if option else DataError)(f"{problem} of positions on the map: `{found.name}`", hint)
    return found


def _without_crs(crs: str) -> hints.Hint:
    return hints.instead(("--crs", crs)).noting("without `--crs`")


def _in_wgs84(table: RawTable, geometry: Geometries, crs: CRS) -> Places:
    import shapely
    from pyproj import Transformer

    rows = np.flatnonzero(~(shapely.is_missing(geometry) | shapely.is_empty(geometry)))
    counts = {NO_GEOMETRY: len(geometry) - len(rows)} if len(rows) < len(geometry) else {}
    if not len(rows):
        raise DataError(f"no row of `{table.path}` has a geometry", hints.again().noting(CORRECTED))
    flat, kind = _one_kind(table, shapely.force_2d(geometry[rows]), rows)
    convert = Transformer.from_crs(crs, WGS84, always_xy=True)
    moved = shapely.transform(flat, lambda xy: np.column_stack(convert.transform(xy[:, 0], xy[:, 1])))
    bounds = shapely.bounds(moved)
    wrong = ~np.isfinite(bounds).all(1) | (np.abs(bounds[:, [0, 2]]) > 180.0).any(1)
    wrong |= (np.abs(bounds[:, [1, 3]]) > 90.0).any(1)
    for row in np.flatnonzero(wrong)[:1].tolist():
        x, y = shapely.get_coordinates(flat[row])[0].tolist()
        hint = hints.again(crs="EPSG:CODE").noting("with the code of the CRS of the coordinates")
        raise table.wrong(int(rows[row]), f"({x:g}, {y:g}) is not a position in {crs.name}", hint)
    invalid = ~shapely.is_valid(moved)
    if invalid.any():
        counts[REPAIRED] = int(invalid.sum())
        moved[invalid] = _repaired(moved[invalid])
    return Places(kind, rows, np.empty((0, 3), np.int64), moved, counts)


def _one_kind(table: RawTable, geometry: Geometries, rows: NDArray[Any]) -> tuple[Geometries, Kind]:
    """Returns the geometries, and their type (points or polygons). Multipoints with one point become points.

    Raises:
        DataError: a geometry is neither a point nor a polygon, or the table has both points and polygons.
    """
    import shapely

    types = shapely.get_type_id(geometry)
    single = (types == 4) & (shapely.get_num_geometries(geometry) == 1)
    geometry = np.where(single, shapely.get_geometry(geometry, 0), geometry)
    points, polygons = (types == 0) | single, (types == 3) | (types == 6)
    for row in np.flatnonzero(~points & ~polygons)[:1].tolist():
        name = geometry[row].geom_type
        raise table.wrong(int(rows[row]), f"the geometry is a {name}: expected points or polygons")
    if points.any() and polygons.any():
        found = f"{int(points.sum()):,} points and {int(polygons.sum()):,} polygons"
        message = f"`{table.path}` has {found}: expected only points or only polygons"
        raise DataError(message, hints.again().noting(CORRECTED))
    return geometry, "points" if points.all() else "polygons"


def _repaired(geometry: Geometries) -> Geometries:
    """Repairs invalid polygons. A polygon that crosses itself becomes a multipolygon. Lines and points are dropped."""
    import shapely

    parts, owner = shapely.get_parts(shapely.make_valid(geometry), return_index=True)
    inner, of_part = shapely.get_parts(parts, return_index=True)  # polygons inside collections of multipolygons
    owner, polygon = owner[of_part], shapely.get_type_id(inner) == 3
    return np.array([shapely.union_all(inner[polygon & (owner == i)]) for i in range(len(geometry))], object)
