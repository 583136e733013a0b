"""Labels from a file: reduces values of points, polygons or tiles to one value per tile of a region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import tile_numbers, tiles_bounds
from geojepa_cli.sources.places import Places
from geojepa_cli.sources.raw_table import Geometries

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
REDUCTIONS = ("mean", "sum", "max", "nearest")
BINS = 8  # bins of the histograms of labels, as far as the values differ


@dataclass(frozen=True)
class ValuesAtPlaces:
    """Values of m rows of a file, and their places.

    Attributes:
        values: value of each row, float64 [m]; none is NaN.
        places: place of each row.
    """

    values: Floats
    places: Places

    def reduced(self, tiles: Rows, reduce: str) -> tuple[Floats, Rows]:
        """Reduces the values to one value per tile.

        A point belongs to the tile that contains it; a tile contains its west and north edges. A polygon belongs to all
        tiles with which it shares an area. Areas are measured on the WGS84 ellipsoid.

        Args:
            tiles: zoom, x and y of n tiles of one zoom, int64 [n, 3].
            reduce: reduction, one of these. Rows that are tiles need no reduction.

                - `mean`: mean of the values in the tile. A polygon has its area inside the tile as weight.
                - `sum`: sum of the values in the tile. The value of a polygon is divided among tiles in proportion to
                  area.
                - `max`: largest of the values in the tile.
                - `nearest`: value of the feature nearest to the centre of the tile, at any distance on the Web Mercator
                  map. If several are equally near, the first in the file is used.

        Returns:
            The value of each tile, float64 [n], NaN for a tile without a value; and the indexes of the rows that lie in
            at least one tile, int64.
        """
        if self.places.kind == "tiles":
            return self._of_tiles(tiles)
        if self.places.kind == "points":
            row, tile = points_in_tiles(self.places.lonlat, tiles)
            weight, value = np.ones(len(row)), self.values[row]
        else:
            row, tile, weight, whole = areas_in_tiles(self.places.geometry, tiles)
            value = self.values[row]
            if reduce == "sum":
                value, weight = value * weight / whole[row], np.ones(len(row))
        used = np.unique(row)
        if reduce == "nearest":
            return self.values[nearest_to_centres(self.places.geometry, tiles)], used
        found = np.full(len(tiles), np.nan)
        some = np.bincount(tile, minlength=len(tiles)) > 0
        if reduce == "max":
            largest = np.full(len(tiles), -np.inf)
            np.maximum.at(largest, tile, value)
            found[some] = largest[some]
            return found, used
        total: Floats = np.bincount(tile, weights=value * weight, minlength=len(tiles)).astype(np.float64)
        if reduce == "mean":
            weights = np.bincount(tile, weights=weight, minlength=len(tiles))
            total = total / np.where(some, weights, 1.0)
        found[some] = total[some]
        return found, used

    def _of_tiles(self, tiles: Rows) -> tuple[Floats, Rows]:
        row_of = {tuple(tile): row for row, tile in enumerate(self.places.tiles.tolist())}
        rows = np.array([row_of.get(tuple(tile), -1) for tile in tiles.tolist()], np.int64)
        found = np.full(len(tiles), np.nan)
        found[rows >= 0] = self.values[rows[rows >= 0]]
        return found, np.unique(rows[rows >= 0])


def points_in_tiles(lonlat: Floats, tiles: Rows) -> tuple[Rows, Rows]:
    """Finds the tile of each point. Points outside all tiles are left out.

    Args:
        lonlat: longitude and latitude of points, float64 [m, 2].
        tiles: zoom, x and y of tiles of one zoom, int64 [n, 3].

    Returns:
        Two arrays that form k pairs: index of the point, int64 [k], and index of its tile, int64 [k].
    """
    zoom = int(tiles[0, 0])
    x, y = tile_numbers(lonlat[:, 0], lonlat[:, 1], zoom)
    keys = tiles[:, 1] << zoom | tiles[:, 2]
    order = np.argsort(keys, kind="stable")
    wanted = x << zoom | y
    places = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    rows = np.flatnonzero((keys[order][places] == wanted) & (np.abs(lonlat[:, 1]) < 85.06))
    return rows, order[places[rows]]


def areas_in_tiles(geometry: Geometries, tiles: Rows) -> tuple[Rows, Rows, Floats, Floats]:
    """Intersects polygons with tiles. Areas are in square metres on the WGS84 ellipsoid.

    Polygons are projected to a cylindrical equal-area map, on which a tile is a rectangle.

    Args:
        geometry: m polygons in WGS84.
        tiles: zoom, x and y of n tiles, int64 [n, 3].

    Returns:
        Four arrays. The first three describe the k intersections whose area is not zero: index of the polygon, int64
        [k]; index of the tile, int64 [k]; and area of the intersection, float64 [k]. The last has the areas of the
        whole polygons, float64 [m].
    """
    import shapely
    from pyproj import Transformer

    bounds = tiles_bounds(tiles[0, 0], tiles[:, 1], tiles[:, 2])
    middle = float((bounds[:, 1].min() + bounds[:, 3].max()) / 2)
    plane = Transformer.from_crs("OGC:CRS84", f"+proj=cea +lat_ts={middle:.3f} +datum=WGS84", always_xy=True)
    flat = shapely.transform(geometry, lambda xy: np.column_stack(plane.transform(xy[:, 0], xy[:, 1])))
    west, south = plane.transform(bounds[:, 0], bounds[:, 1])
    east, north = plane.transform(bounds[:, 2], bounds[:, 3])
    boxes = shapely.box(west, south, east, north)
    row, tile = shapely.STRtree(boxes).query(flat, predicate="intersects")
    area = shapely.area(shapely.intersection(flat[row], boxes[tile]))
    some = area > 0
    return row[some].astype(np.int64), tile[some].astype(np.int64), area[some], shapely.area(flat)


def nearest_to_centres(geometry: Geometries, tiles: Rows) -> Rows:
    """Returns for each tile the index of the feature nearest to its centre, int64 [n].

    If several features are equally near, the first is returned.

    Args:
        geometry: points or polygons in WGS84.
        tiles: zoom, x and y of n tiles, int64 [n, 3].
    """
    import shapely
    from pyproj import Transformer

    plane = Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True)
    flat = shapely.transform(geometry, lambda xy: np.column_stack(plane.transform(xy[:, 0], xy[:, 1])))
    centres = shapely.points(mercator_centres(tiles))
    tile, row = shapely.STRtree(flat).query_nearest(centres, all_matches=True)
    found = np.full(len(tiles), len(geometry), np.int64)
    np.minimum.at(found, tile, row)
    return found


def mercator_centres(tiles: Rows) -> Floats:
    """Returns the centre of each tile in EPSG:3857, in metres, float64 [n, 2]."""
    half = np.pi * 6378137.0
    size = 2.0 * half / np.exp2(tiles[:, 0].astype(np.float64))
    return np.column_stack([(tiles[:, 1] + 0.5) * size - half, half - (tiles[:, 2] + 0.5) * size])


def histogram_bounds(values: Floats) -> tuple[float, ...]:
    """Returns upper bounds for the bins of a histogram of the values.

    The bounds are quantiles of the values, rounded to three significant digits. The last bin has no upper bound.

    Args:
        values: values, float64 [m], m > 0.
    """
    found = np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)[:-1])
    return tuple(sorted({float(f"{bound:.3g}") for bound in found.tolist()}))


def is_binary(values: Floats, kind: str, reduce: str) -> bool:
    """Returns True if all labels are 0 or 1.

    This is the case if all values are 0 or 1, and if the reduction to one value per tile computes no sums or means.

    Args:
        values: values of the rows of the file.
        kind: kind of the rows: `tiles`, `points` or `polygons`.
        reduce: method that reduces several values in a tile to one label, such as `max`.
    """
    keeps = kind == "tiles" or reduce in ("max", "nearest")
    return keeps and bool(np.isin(values, (0.0, 1.0)).all())
