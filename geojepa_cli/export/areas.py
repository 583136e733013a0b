"""Areas as rows of an exported layer: polygons of a file, or zoom-14 tiles. Each has the mean vector of its tiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geojepa_cli.console import printable
from geojepa_cli.export.features import Columns, ExportRegion, group_name, group_numbers
from geojepa_cli.export.piece_geometry import Geometries
from geojepa_cli.grid import GROUP_ZOOM, tiles_bounds
from geojepa_cli.store import csr
from geojepa_cli.store.csr import Rows
from geojepa_cli.tasks.file_labels import areas_in_tiles

_OWN = (
    "feature",
    "group",
    "region",
    "tiles",
    "coverage",
    "vector",
    "geometry",
    "bbox",
    "colour",
    "red",
    "green",
    "blue",
    "fid",
)


_MASK = (1 << GROUP_ZOOM) - 1


@dataclass(frozen=True)
class Areas:
    """Areas, and the tiles with which they share an area.

    Attributes:
        geometry: polygon of each area in WGS84, shapely [n].
        rows: position of each area in the given polygons, int64 [n].
        offsets: CSR offsets of the tiles of each area, int64 [n + 1].
        tiles: rows of the tiles, in the order of all regions, int64 [k].
        area_m2: area that each tile shares with its area, float64 [k].
        whole_m2: whole area of each area, float64 [n].
    """

    geometry: Geometries
    rows: Rows
    offsets: Rows
    tiles: Rows
    area_m2: NDArray[np.float64]
    whole_m2: NDArray[np.float64]


def areas_of_polygons(regions: Sequence[ExportRegion], polygons: Geometries) -> Areas:
    """Finds the embedded tiles of polygons. Polygons without an embedded tile are left out.

    Areas are measured on the WGS84 ellipsoid. A tile that lies in two regions counts once, in the first of them.

    Args:
        regions: regions with embeddings of tiles of one zoom.
        polygons: polygons in WGS84, shapely [m].
    """
    found: list[tuple[Rows, Rows, NDArray[np.float64]]] = []
    whole = np.zeros(len(polygons))
    west, south, east, north = shapely.total_bounds(polygons)
    for first, tiles, fresh in _distinct_tiles(regions):
        bounds = tiles_bounds(*tiles.T)
        near = (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
        rows = np.flatnonzero(near & fresh)
        if len(rows):
            area, tile, shared, sizes = areas_in_tiles(polygons, tiles[rows])
            whole = np.maximum(whole, sizes)
            found.append((area, rows[tile] + first, shared))
    if not found:
        empty = np.empty(0, np.int64)
        return Areas(polygons[:0], empty, np.zeros(1, np.int64), empty, np.empty(0), np.empty(0))
    area, tile, shared = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((tile, area))
    rows, counts = np.unique(area, return_counts=True)
    return Areas(polygons[rows], rows, csr.offsets(counts), tile[order], shared[order], whole[rows])


def areas_of_groups(regions: Sequence[ExportRegion]) -> Areas:
    """Returns the zoom-14 tiles that contain embedded tiles, in ascending order of x and y.

    A tile that lies in two regions counts once, in the first of them.
    """
    parts = [(rows + first, tiles[rows]) for first, tiles, fresh in _distinct_tiles(regions) for rows in [_true(fresh)]]
    rows, tiles = (np.concatenate(part) for part in zip(*parts, strict=True))
    numbers, group = np.unique(group_numbers(tiles), return_inverse=True)
    squares = np.stack([np.full_like(numbers, GROUP_ZOOM), numbers >> GROUP_ZOOM, numbers & _MASK], axis=1)
    order = np.argsort(group, kind="stable")
    offsets = csr.offsets(np.bincount(group))
    geometry = shapely.box(*tiles_bounds(*squares.T).T)
    return Areas(
        geometry, np.arange(len(numbers)), offsets, rows[order], _tile_areas(tiles[order]), _tile_areas(squares)
    )


def _distinct_tiles(regions: Sequence[ExportRegion]) -> Iterator[tuple[int, Rows, NDArray[np.bool_]]]:
    """Yields for each region the number of tiles before it, its tiles, and which of them are in no earlier region."""
    first, seen = 0, np.empty(0, np.int64)
    for region in regions:
        tiles = region.tiles()
        keys = (tiles[:, 0] << 56) | (tiles[:, 1] << 28) | tiles[:, 2]
        yield first, tiles, ~np.isin(keys, seen)
        first, seen = first + len(tiles), np.concatenate([seen, keys])


def _tile_areas(tiles: Rows) -> NDArray[np.float64]:
    """Returns the area of tiles on the WGS84 ellipsoid in m², float64 [n]. They are rectangles on an equal-area map."""
    from pyproj import Transformer

    plane = Transformer.from_crs("OGC:CRS84", "+proj=cea +datum=WGS84", always_xy=True)
    west, south, east, north = tiles_bounds(*tiles.T).T
    (left, lower), (right, upper) = plane.transform(west, south), plane.transform(east, north)
    found: NDArray[np.float64] = (right - left) * (upper - lower)
    return found


def _true(flags: NDArray[np.bool_]) -> Rows:
    return np.flatnonzero(flags)


class AreaFeatures:
    """Areas with the properties of the file, the number of their tiles, and the share of their area in tiles.


    Args:
        regions: regions with embeddings of tiles.
        areas: areas with at least one tile each.
        numbers: number of each area in the file, int64 [n]; None for zoom-14 tiles, which have the column `group`.
        properties: properties of each area in the file, by name.
    """

    def __init__(
        self,
        regions: Sequence[ExportRegion],
        areas: Areas,
        numbers: Rows | None = None,
        properties: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._areas, self._names = areas, [region.name for region in regions]
        self._ends = np.cumsum([region.vectors.n_tiles for region in regions])
        self._tiles = np.concatenate([region.tiles() for region in regions])
        self.count = len(areas.rows)
        self.geometry_types = sorted({one.geom_type for one in areas.geometry})
        named = unique_names(list(properties or {}))
        self._given = {name: _typed(values) for name, values in zip(named, (properties or {}).values(), strict=True)}
        self._numbers = numbers
        own = [("group", pa.string())] if numbers is None else [("feature", pa.int64())]
        more = [("region", pa.string()), ("tiles", pa.int32()), ("coverage", pa.float64())]
        self.fields = pa.schema([*own, *((name, values.type) for name, values in self._given.items()), *more])

    def centres(self) -> NDArray[np.float64]:
        """Returns the centroid of each area."""
        found: NDArray[np.float64] = shapely.get_coordinates(shapely.centroid(self._areas.geometry))
        return found

    def groups(self) -> NDArray[np.int64]:
        """Returns the number of the zoom-14 tile of the first tile of each area."""
        return group_numbers(self._tiles[self._areas.tiles[self._areas.offsets[:-1]]])

    def geometry(self, rows: Rows) -> Geometries:
        """Returns the polygons of areas."""
        found: Geometries = self._areas.geometry[rows]
        return found

    def attributes(self, rows: Rows) -> Columns:
        """Returns properties, regions, numbers of tiles and coverage of areas."""
        areas = self._areas
        columns: Columns = {name: values.take(pa.array(rows)).to_pylist() for name, values in self._given.items()}
        columns |= {name: [] for name in self.fields.names if name not in columns}
        for row in rows.tolist():
            inside = slice(*csr.span(areas.offsets, row))
            tiles = areas.tiles[inside]
            regions = np.unique(np.searchsorted(self._ends, tiles, side="right")).tolist()
            columns["region"].append(", ".join(self._names[index] for index in regions))
            columns["tiles"].append(len(tiles))
            share = float(areas.area_m2[inside].sum() / areas.whole_m2[row])
            columns["coverage"].append(min(round(share, 6), 1.0))
            if self._numbers is None:
                columns["group"].append(group_name(self._tiles[tiles[0]].tolist()))
            else:
                columns["feature"].append(int(self._numbers[row]))
        return columns


def unique_names(names: Sequence[str]) -> list[str]:
    """Returns names of columns that differ from each other and from those of the export, ignoring case.

    SQLite and DuckDB ignore the case of names. A name that is taken gets a number, such as `region_2`.
    """
    taken, found = set(_OWN), []
    for name in names:
        plain = printable(name).strip() or "property"
        free, number = plain, 1
        while free.casefold() in taken:
            number += 1
            free = f"{plain}_{number}"
        taken.add(free.casefold())
        found.append(free)
    return found


def _typed(values: Sequence[Any]) -> pa.Array:
    """Returns values as a column of one type. Values of different types, lists and objects become JSON texts."""
    plain = [printable(value) if isinstance(value, str) else value for value in values]
    if all(value is None or isinstance(value, bool | int | float | str) for value in plain):
        try:
            found = pa.array(plain)
            return found.cast(pa.string()) if pa.types.is_null(found.type) else found
        except (pa.ArrowException, OverflowError):
            pass
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in plain
    ]
    return pa.array(texts, pa.string())
