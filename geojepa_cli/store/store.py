"""`TileStore`: the processed files of several regions, read as one dataset without copying them together.

Rows of a region's tables are shifted by what lies before it: dataset row = region row + offset of the region.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile, tiles_bounds
from geojepa_cli.store.batch import OSM_TYPES, TileBatch
from geojepa_cli.store.gather import CompiledView, gather
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import View

Rows = npt.NDArray[np.int64]


class TileStore:
    """Tiles, objects, pieces and vocabularies of one or several regions as one dataset.

    Attributes:
        regions: the regions in the order in which they were opened.
        images: the image store of each region, or None.
        tile_offsets, object_offsets, piece_offsets, vocab_offsets: int64 [regions + 1], first row of each region.
        tile_zxy: int64 [tiles, 3], zoom, column, row of every tile.
    """

    def __init__(self, regions: Sequence[RegionStore], images: Sequence[ImageStore | None] | None = None) -> None:
        if not regions:
            raise UsageError("no region to read", "geojepa artifacts")
        self.regions = tuple(regions)
        self.images = tuple(images) if images is not None else (None,) * len(self.regions)
        if len(self.images) != len(self.regions):
            raise ValueError(f"{len(self.images)} image stores for {len(self.regions)} regions")
        for region in self.regions:
            if region.kind != "processed":
                command = f"geojepa process --region {region.name}"
                raise DataError(f"`{region.path}` is of kind `{region.kind}`, expected `processed`", command)
        sizes = [(r.n_tiles, r.n_objects, r.n_pieces, r.n_vocab) for r in self.regions]
        offsets = np.concatenate([np.zeros((1, 4), np.int64), np.cumsum(np.array(sizes, np.int64), axis=0)])
        self.tile_offsets, self.object_offsets, self.piece_offsets, self.vocab_offsets = offsets.T.copy()
        columns = [np.stack([r["tile/z"], r["tile/x"], r["tile/y"]], 1).astype(np.int64) for r in self.regions]
        self.tile_zxy = np.concatenate(columns)
        self._compiled: weakref.WeakKeyDictionary[View, CompiledView] = weakref.WeakKeyDictionary()

    @classmethod
    def open(
        cls,
        paths: Sequence[Path | str],
        images: Sequence[Path | str | None] | None = None,
        names: Sequence[str] | None = None,
    ) -> TileStore:
        """Opens the `processed.h5` of each region and, where given, its `images.h5`.

        Raises:
            DataError: a file is unreadable or of another schema.
        """
        given = names if names is not None else [None] * len(paths)
        regions = [RegionStore(path, name) for path, name in zip(paths, given, strict=True)]
        opened = None if images is None else [None if path is None else ImageStore(path) for path in images]
        return cls(regions, opened)

    def __reduce__(self) -> tuple[Any, ...]:
        return (TileStore, (self.regions, self.images))

    @property
    def n_tiles(self) -> int:
        """Tiles of all regions."""
        return int(self.tile_offsets[-1])

    @property
    def n_pieces(self) -> int:
        """Pieces of all regions."""
        return int(self.piece_offsets[-1])

    @property
    def n_vocab(self) -> int:
        """Vocabulary rows of all regions; a pair that two regions share has a row in each."""
        return int(self.vocab_offsets[-1])

    @functools.cached_property
    def shape(self) -> tuple[tuple[int, int, int], ...]:
        """(tiles, pieces, vocabulary rows) of every region, as a `View` keeps it."""
        return tuple((r.n_tiles, r.n_pieces, r.n_vocab) for r in self.regions)

    # reading

    def read(self, view: View, tiles: npt.ArrayLike, geometry: bool = False, images: bool = False) -> TileBatch:
        """The tokens of some tiles (dataset rows, in this order) as tensors: the only way from store to model.

        Raises:
            ValueError: a tile is not in the view.
        """
        return gather(self, self.compiled(view), np.asarray(tiles, np.int64), geometry, images)

    def compiled(self, view: View) -> CompiledView:
        """The view as the gather uses it; made once for each view and kept as long as the view lives."""
        if view.shape != self.shape:
            raise ValueError(f"the view is of another dataset: {view.shape}, expected {self.shape}")
        found = self._compiled.get(view)
        if found is None:
            found = self._compiled[view] = CompiledView(self.regions, view)
        return found

    def lengths(self, view: View) -> Rows:
        """Tokens of every kept tile, in the order of `view.tiles`: int64."""
        return self.compiled(view).lengths[view.tiles].astype(np.int64)

    # tiles

    def tile_row(self, name: str) -> int:
        """The row of a tile by its name; in the first region that has it where several do.

        Raises:
            UsageError: not a tile name.
            NotFoundError: no such tile; says the nearest one.
        """
        rows = self.tile_rows(name)
        if len(rows) == 0:
            raise self._unknown_tile(parse_tile(name))
        return int(rows[0])

    def tile_rows(self, name: str) -> Rows:
        """Every row that a tile's name has in the dataset (regions may overlap), sorted; int64, maybe empty."""
        return np.flatnonzero((self.tile_zxy == np.array(parse_tile(name))).all(1))

    def tile_names(self, rows: npt.ArrayLike | None = None) -> list[str]:
        """Names of some tiles, or of all."""
        zxy = self.tile_zxy if rows is None else self.tile_zxy[np.asarray(rows, np.int64)]
        return ["_".join(map(str, tile)) for tile in zxy.tolist()]

    def tile_bounds(self, rows: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Bounds in degrees of some tiles, or of all: float64 [n, 4] (west, south, east, north)."""
        zxy = self.tile_zxy if rows is None else self.tile_zxy[np.asarray(rows, np.int64)]
        return tiles_bounds(zxy[:, 0], zxy[:, 1], zxy[:, 2])

    def tile_regions(self, rows: npt.ArrayLike) -> Rows:
        """The region of each tile row, as an index: int64."""
        return np.searchsorted(self.tile_offsets, np.asarray(rows, np.int64), side="right") - 1

    @functools.cached_property
    def groups(self) -> Rows:
        """The zoom-14 group of every tile as one number, equal in all regions: int64 [tiles]."""
        shift = self.tile_zxy[:, 0] - GROUP_ZOOM
        if bool((shift < 0).any()):
            raise DataError(f"tiles of a zoom below {GROUP_ZOOM} have no group", f"geojepa tile --zoom {GROUP_ZOOM}")
        return (self.tile_zxy[:, 1] >> shift) << 32 | self.tile_zxy[:, 2] >> shift

    def group_names(self, rows: npt.ArrayLike | None = None) -> list[str]:
        """Names such as `14_4513_6489` of the groups of some tiles, or of all."""
        groups = self.groups if rows is None else self.groups[np.asarray(rows, np.int64)]
        return [TileId(GROUP_ZOOM, group >> 32, group & 0xFFFFFFFF).name for group in groups.tolist()]

    # images

    @functools.cached_property
    def image_rows(self) -> Rows:
        """Row of every tile's image in its region's image store, -1 where it has none: int64 [tiles]."""
        rows = [
            np.full(region.n_tiles, -1, np.int64)
            if store is None
            else store.rows_of(region["tile/z"], region["tile/x"], region["tile/y"])
            for region, store in zip(self.regions, self.images, strict=True)
        ]
        return np.concatenate(rows)

    def image_rows_required(self) -> Rows:
        """`image_rows`, or an error where no region was opened with images."""
        if all(store is None for store in self.images):
            names = ", ".join(f"`{region.name}`" for region in self.regions)
            raise UsageError(f"no images in {names}", "geojepa fetch --pbf FILE --name NAME --imagery DIR")
        return self.image_rows

    # pieces, objects, tags

    def tile_piece_counts(self) -> Rows:
        """Pieces of every tile, tokens or not: int64 [tiles]."""
        counts = [np.diff(region["tile/pieces"]).astype(np.int64) for region in self.regions]
        return np.concatenate(counts)

    def piece_tiles(self, pieces: npt.ArrayLike) -> Rows:
        """The tile row of each piece row: int64."""
        ends = np.cumsum(self.tile_piece_counts())
        return np.searchsorted(ends, np.asarray(pieces, np.int64), side="right")

    def entity_pieces(self, ref: str) -> Rows:
        """Every piece row of an OSM element such as `way/123`, in all regions: int64.

        Raises:
            UsageError: not of the form node/ID, way/ID or relation/ID.
            NotFoundError: no such element in the dataset.
        """
        osm_type, _, number = ref.partition("/")
        if osm_type not in OSM_TYPES or not number.isdecimal():
            raise UsageError(f"`{ref}` is not an entity", "an entity is named node/ID, way/ID or relation/ID")
        found = []
        for region, first in zip(self.regions, self.piece_offsets, strict=False):
            row = _object_row(region, OSM_TYPES.index(osm_type), int(number))
            if row is not None:
                found.append(np.flatnonzero(region["piece/object"] == row) + first)
        if not found:
            names = ", ".join(f"`{region.name}`" for region in self.regions)
            hint = f"untagged elements are no entities; see https://www.openstreetmap.org/{ref}"
            raise NotFoundError(f"no entity `{ref}` in {names}", hint)
        return np.concatenate(found)

    def piece_tags(self, piece: int) -> dict[str, str]:
        """All stored tags of a piece's object, masked or not: for tables, pages and tests."""
        index = int(np.searchsorted(self.piece_offsets, piece, side="right")) - 1
        region = self.regions[index]
        row = int(region["piece/object"][piece - int(self.piece_offsets[index])])
        first, last = region["object/tags"][row : row + 2].tolist()
        return {region.keys[v]: region.values[v] for v in region["tag/vocab"][first:last].tolist()}

    def tag(self, vocab_id: int) -> tuple[str, str]:
        """Key and value of a dataset-wide vocabulary row."""
        index = int(np.searchsorted(self.vocab_offsets, vocab_id, side="right")) - 1
        row = vocab_id - int(self.vocab_offsets[index])
        return self.regions[index].keys[row], self.regions[index].values[row]

    @functools.cached_property
    def keys(self) -> list[str]:
        """The key of every vocabulary row of the dataset."""
        return [key for region in self.regions for key in region.keys]

    @functools.cached_property
    def values(self) -> list[str]:
        """The value of every vocabulary row of the dataset."""
        return [value for region in self.regions for value in region.values]

    def _unknown_tile(self, tile: TileId) -> NotFoundError:
        """Nearest means nearest on the ground here, not in spelling."""
        same = np.flatnonzero(self.tile_zxy[:, 0] == tile.z)
        if len(same) == 0:
            zooms = ", ".join(str(zoom) for zoom in sorted(set(self.tile_zxy[:, 0].tolist())))
            return NotFoundError(f"unknown tile `{tile.name}`; the tiles here are of zoom {zooms}")
        away = np.abs(self.tile_zxy[same, 1:] - np.array(tile[1:])).max(1)
        close = self.tile_names(same[[int(away.argmin())]])[0]
        return NotFoundError(f"unknown tile `{tile.name}`; the nearest with data is `{close}`")


def _object_row(region: RegionStore, osm_type: int, osm_id: int) -> int | None:
    """The row of an element: objects are sorted by type, then id."""
    first, last = np.searchsorted(region["object/osm_type"], [osm_type, osm_type + 1]).tolist()
    row = first + int(np.searchsorted(region["object/osm_id"][first:last], osm_id))
    return row if row < last and int(region["object/osm_id"][row]) == osm_id else None
