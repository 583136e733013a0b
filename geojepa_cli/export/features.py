"""Rows of exported layers without their vectors: geometry and attributes of tiles, entities and areas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geojepa_cli.console import printable
from geojepa_cli.export.piece_geometry import Geometries, piece_centres, piece_geometries, piece_types
from geojepa_cli.export.vector_rows import Stack
from geojepa_cli.grid import GROUP_ZOOM, TileId, tiles_bounds
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import read_tags

Columns = dict[str, list[Any]]
# takes a region and rows of its table `piece/`; returns tags that describe the place, with their counts
DescribePieces = Callable[[RegionStore, Rows], Sequence[tuple[str, int]]]
_AT_ONCE = 65_536  # pieces whose geometry types or centres are read together


@dataclass(frozen=True)
class ExportRegion:
    """A region to export.

    Attributes:
        name: name of the region.
        vectors: embeddings of the region.
        store: opened `processed.h5` from which the embeddings were made.
    """

    name: str
    vectors: Embeddings
    store: RegionStore

    def tiles(self, rows: Rows | slice = slice(None)) -> Rows:
        """Returns zoom, x and y of the tiles in rows of `tile/`, int64 [n, 3]."""
        return np.stack([self.vectors[f"tile/{axis}"][rows].astype(np.int64) for axis in "zxy"], axis=1)


class Features(Protocol):
    """Rows of an exported layer without their vectors.

    Attributes:
        count: number of rows.
        fields: names and types of the attributes.
        geometry_types: names of the types of all geometries, sorted.
    """

    count: int
    fields: pa.Schema
    geometry_types: list[str]

    def centres(self) -> NDArray[np.float64]:
        """Returns a position (lon, lat) of each row in degrees, which decides its place in the file, [count, 2]."""

    def groups(self) -> NDArray[np.int64]:
        """Returns the number of a zoom-14 tile that contains each row, or a part of it, int64 [count]."""

    def attributes(self, rows: Rows) -> Columns:
        """Returns the attributes of the given rows, by name. Control characters in texts are escaped."""

    def geometry(self, rows: Rows) -> Geometries:
        """Returns the geometries of the given rows in WGS84, shapely [m]."""


class TileFeatures:
    """The tiles of several regions."""

    fields = pa.schema(
        [
            ("tile", pa.string()),
            ("region", pa.string()),
            ("group", pa.string()),
            ("entities", pa.int32()),
            ("main_tags", pa.list_(pa.string())),
        ]
    )
    geometry_types: list[str] = ["Polygon"]  # noqa: RUF012 - never changed

    def __init__(self, regions: Sequence[ExportRegion], describe: DescribePieces) -> None:
        self._regions, self._describe = regions, describe
        self._stack = Stack([region.vectors.n_tiles for region in regions])
        self.count = self._stack.count

    def centres(self) -> NDArray[np.float64]:
        """Returns the centre of each tile."""
        found = np.empty((self.count, 2))
        for first in range(0, self.count, _AT_ONCE):
            rows = np.arange(first, min(first + _AT_ONCE, self.count))
            for index, inner, places in self._stack.split(rows):
                bounds = tiles_bounds(*self._regions[index].tiles(inner).T)
                found[rows[places]] = (bounds[:, :2] + bounds[:, 2:]) / 2
        return found

    def groups(self) -> NDArray[np.int64]:
        """Returns the number of the zoom-14 tile of each tile."""
        return np.concatenate([group_numbers(region.tiles()) for region in self._regions])

    def geometry(self, rows: Rows) -> Geometries:
        """Returns the squares of tiles."""
        found = np.empty(len(rows), object)
        for index, inner, places in self._stack.split(rows):
            found[places] = shapely.box(*tiles_bounds(*self._regions[index].tiles(inner).T).T)
        return found

    def attributes(self, rows: Rows) -> Columns:
        """Returns names, regions, groups, numbers of entities and main tags of tiles."""
        columns: Columns = {name: [None] * len(rows) for name in self.fields.names}
        for index, inner, places in self._stack.split(rows):
            region = self._regions[index]
            tiles, ends = region.tiles(inner), region.vectors["entity/cu_seqlens"]
            for place, row, tile in zip(places.tolist(), inner.tolist(), tiles.tolist(), strict=True):
                first, last = int(ends[row]), int(ends[row + 1])
                tags = self._describe(region.store, region.vectors["entity/piece"][first:last].astype(np.int64))
                columns["tile"][place] = TileId(*tile).name
                columns["region"][place] = region.name
                columns["group"][place] = group_name(tile)
                columns["entities"][place] = last - first
                columns["main_tags"][place] = [printable(tag) for tag, _ in tags]
        return columns


class EntityFeatures:
    """The entities of several regions: one row for the part of an OSM element in each tile."""

    fields = pa.schema(
        [
            ("record_id", pa.string()),
            ("osm_type", pa.string()),
            ("osm_id", pa.int64()),
            ("osm_version", pa.int32()),
            ("tile", pa.string()),
            ("region", pa.string()),
            ("group", pa.string()),
            ("size", pa.float32()),
            ("tags", pa.list_(pa.string())),
        ]
    )

    def __init__(self, regions: Sequence[ExportRegion]) -> None:
        self._regions = regions
        self._stack = Stack([region.vectors.n_entities for region in regions])
        self.count = self._stack.count
        types = {
            name
            for region in regions
            for first in range(0, region.vectors.n_entities, _AT_ONCE)
            for name in piece_types(region.store, _pieces(region, slice(first, first + _AT_ONCE)))
        }
        self.geometry_types = sorted(types)

    def centres(self) -> NDArray[np.float64]:
        """Returns the centre of the bounding rectangle of each entity."""
        found = [
            piece_centres(region.store, _pieces(region, part), _tiles_of(region, part))
            for region in self._regions
            for first in range(0, region.vectors.n_entities, _AT_ONCE)
            for part in [slice(first, first + _AT_ONCE)]
        ]
        return np.concatenate(found) if found else np.empty((0, 2))

    def groups(self) -> NDArray[np.int64]:
        """Returns the number of the zoom-14 tile of each entity."""
        return np.concatenate(
            [group_numbers(region.tiles())[region.vectors["entity/tile"]] for region in self._regions]
        )

    def geometry(self, rows: Rows) -> Geometries:
        """Returns the geometries of entities, cut at the borders of their tiles."""
        found = np.empty(len(rows), object)
        for index, inner, places in self._stack.split(rows):
            region = self._regions[index]
            found[places] = piece_geometries(region.store, _pieces(region, inner), _tiles_of(region, inner))
        return found

    def attributes(self, rows: Rows) -> Columns:
        """Returns OSM ids, tiles, regions, groups, sizes and tags of entities."""
        columns: Columns = {name: [None] * len(rows) for name in self.fields.names}
        for index, inner, places in self._stack.split(rows):
            region = self._regions[index]
            vectors, tiles = region.vectors, _tiles_of(region, inner)
            objects = region.store["piece/object"][_pieces(region, inner)].tolist()
            for i, place in enumerate(places.tolist()):
                row, tile = int(inner[i]), tiles[i].tolist()
                version = int(vectors["entity/osm_version"][row])
                columns["record_id"][place] = vectors.record_id(row)
                columns["osm_type"][place] = OSM_TYPES[int(vectors["entity/osm_type"][row])]
                columns["osm_id"][place] = int(vectors["entity/osm_id"][row])
                columns["osm_version"][place] = version or None
                columns["tile"][place] = TileId(*tile).name
                columns["region"][place] = region.name
                columns["group"][place] = group_name(tile)
                columns["size"][place] = float(vectors["entity/size"][row])
                tags = read_tags(region.store, objects[i])
                columns["tags"][place] = [printable(f"{key}={value}") for key, value in sorted(tags.items())]
        return columns


def group_numbers(tiles: Rows) -> NDArray[np.int64]:
    """Returns a number for the zoom-14 tile that contains each tile, int64 [n]. A larger tile is its own group.

    Args:
        tiles: zoom, x and y of each tile, int64 [n, 3].
    """
    shift = np.maximum(tiles[:, 0] - GROUP_ZOOM, 0)
    return (tiles[:, 1] >> shift) << GROUP_ZOOM | tiles[:, 2] >> shift


def group_name(tile: Sequence[int]) -> str:
    """Returns the name of the zoom-14 tile that contains a tile (zoom, x, y). A larger tile is its own group."""
    z, x, y = tile
    shift = max(z - GROUP_ZOOM, 0)
    return TileId(z - shift, x >> shift, y >> shift).name


def _pieces(region: ExportRegion, rows: Rows | slice) -> Rows:
    return region.vectors["entity/piece"][rows].astype(np.int64)


def _tiles_of(region: ExportRegion, rows: Rows | slice) -> Rows:
    return region.tiles(region.vectors["entity/tile"][rows].astype(np.int64))
