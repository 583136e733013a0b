"""Assigns the vectors in a user's file to the tiles of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import tiles_bounds
from geojepa_cli.sources.vector_file import VectorTable
from geojepa_cli.tasks.file_labels import mercator_centres, points_in_tiles

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PlacedVectors:
    """Vectors from a user's file, assigned to tiles.

    Attributes:
        tiles: indexes of the tiles that have a vector, sorted, int64 [k].
        vectors: their vectors, float32 [k, d].
    """

    tiles: Rows
    vectors: NDArray[np.float32]

    def read(self, tiles: Rows) -> NDArray[np.float32]:
        """Returns the vectors of the given tiles, float32 [n, d].

        Raises:
            ValueError: a tile has no vector.
        """
        places = np.searchsorted(self.tiles, tiles)
        if not np.array_equal(self.tiles[np.minimum(places, len(self.tiles) - 1)], tiles):
            raise ValueError("a tile has no vector")
        return self.vectors[places]


def place_vectors(table: VectorTable, tiles: Rows) -> PlacedVectors:
    """Assigns the vectors in a user's file to tiles.

    A vector with the name of a tile belongs to this tile. A vector with a point belongs to the tile that contains the
    point. A vector with a polygon belongs to all tiles whose centres lie in the polygon. A tile with several vectors
    gets their mean.

    Args:
        table: vectors, each with a tile name, a point or a polygon.
        tiles: zoom, x and y of n tiles of one zoom, int64 [n, 3]. A tile of two regions occurs twice.
    """
    distinct, of_tile = np.unique(tiles, axis=0, return_inverse=True)
    row, place = _pairs(table, distinct)
    order = np.argsort(place, kind="stable")
    row, place = row[order], place[order]
    found, first, counts = np.unique(place, return_index=True, return_counts=True)
    vectors = table.vectors[row[first]]
    for several in np.flatnonzero(counts > 1).tolist():
        rows = row[first[several] : first[several] + counts[several]]
        vectors[several] = table.vectors[rows].mean(0, dtype=np.float64)
    where = np.full(len(distinct), -1, np.int64)
    where[found] = np.arange(len(found))
    source = where[of_tile.reshape(-1)]
    known = np.flatnonzero(source >= 0)
    return PlacedVectors(known, vectors[source[known]])


def _pairs(table: VectorTable, tiles: Rows) -> tuple[Rows, Rows]:
    """Finds the tiles to which each row of the user's file belongs.

    Returns:
        Two arrays that form k pairs: index of the row, int64 [k], and index of the tile, int64 [k].
    """
    import shapely

    places = table.places
    if places.kind == "points":
        return points_in_tiles(places.lonlat, tiles)
    if places.kind == "tiles":
        row_of = {tuple(tile): row for row, tile in enumerate(places.tiles.tolist())}
        rows = np.array([row_of.get(tuple(tile), -1) for tile in tiles.tolist()], np.int64)
        return rows[rows >= 0], np.flatnonzero(rows >= 0)
    row, tile = shapely.STRtree(shapely.points(_centres(tiles))).query(places.geometry, predicate="intersects")
    return row.astype(np.int64), tile.astype(np.int64)


def _centres(tiles: Rows) -> NDArray[np.float64]:
    """Returns longitude and latitude of the centre of each tile on the Web Mercator map, float64 [n, 2]."""
    bounds = tiles_bounds(tiles[:, 0], tiles[:, 1], tiles[:, 2])
    north = mercator_centres(tiles)[:, 1] / 6378137.0
    return np.column_stack([(bounds[:, 0] + bounds[:, 2]) / 2, np.degrees(np.arctan(np.sinh(north)))])
