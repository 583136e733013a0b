"""`Dataset`: reads the `processed.h5` files of several regions as one dataset, without copying them.

The rows of each table are numbered consecutively across all regions: row number in the dataset = row number in the
region's file + number of rows of all earlier regions. An object is an OSM element (node, way or relation). A piece is
the part of an OSM element inside one tile. The vocabulary is the list of distinct tags.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile, tiles_bounds
from geojepa_cli.store.geometry import GeometryKind, GeometryStore, check_same_kind
from geojepa_cli.store.image_tokens import ImageTokenKind, ImageTokenStore, check_same_tokens, open_image_tokens
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore

Rows = npt.NDArray[np.int64]


class Dataset:
    """Tiles, OSM elements and tags of one or several regions. Rows are numbered consecutively across the regions.

    Attributes:
        regions: opened `processed.h5` of each region, in the order of the dataset.
        images: opened image files of the regions; None for a region without images.
        geometry: opened files with the geometry vectors of the regions; None if the dataset was opened without them.
        image_tokens: opened files with the image tokens of the regions; None for a region without images, or if the
            dataset was opened without image tokens.
        tile_offsets, piece_offsets, vocab_offsets: first row number of each region in the tables of tiles, pieces
            (parts of OSM elements inside single tiles) and distinct tags. The last value is the number of rows of all
            regions together. int64 [regions + 1]
        tile_zxy: int64 [tiles, 3], zoom, column (x) and row (y) of every tile.
    """

    def __init__(
        self,
        regions: Sequence[RegionStore],
        images: Sequence[ImageStore | None] | None = None,
        geometry: Sequence[GeometryStore] | None = None,
        image_tokens: Sequence[ImageTokenStore | None] | None = None,
    ) -> None:
        if not regions:
            raise UsageError("no regions to read: a dataset needs at least one region", hints.run("artifacts"))
        self.regions = tuple(regions)
        self.images = tuple(images) if images is not None else (None,) * len(self.regions)
        if len(self.images) != len(self.regions):
            raise ValueError(f"{len(self.images)} image stores for {len(self.regions)} regions")
        self.geometry = None if geometry is None else tuple(geometry)
        if self.geometry is not None:
            if len(self.geometry) != len(self.regions):
                raise ValueError(f"{len(self.geometry)} geometry stores for {len(self.regions)} regions")
            check_same_kind(self.geometry)
        self.image_tokens = None if image_tokens is None else tuple(image_tokens)
        check_same_tokens(self.image_tokens or ())
        for region in self.regions:
            if region.kind != "processed":
                hint = hints.run("process", region=region.name)
                raise DataError(f"`{region.path}` is a `{region.kind}` file, expected a `processed` file", hint)
        sizes = [(r.n_tiles, r.n_pieces, r.n_vocab) for r in self.regions]
        offsets = np.concatenate([np.zeros((1, 3), np.int64), np.cumsum(np.array(sizes, np.int64), axis=0)])
        self.tile_offsets, self.piece_offsets, self.vocab_offsets = offsets.T.copy()
        columns = [np.stack([r["tile/z"], r["tile/x"], r["tile/y"]], 1).astype(np.int64) for r in self.regions]
        self.tile_zxy = np.concatenate(columns)

    @classmethod
    def open(
        cls,
        paths: Sequence[Path | str],
        images: Sequence[Path | str | None] | None = None,
        names: Sequence[str] | None = None,
        geometry: Sequence[Path | str] | None = None,
        image_tokens: Sequence[Path | str | None] | None = None,
    ) -> Self:
        """Opens the `processed.h5` of each region and, if given, its `images.h5`, `geometry.h5` and `image_tokens.h5`.

        Args:
            paths: path of the `processed.h5` of each region.
            images: path of the `images.h5` of each region, None for a region without images. Default: no images.
            names: names of the regions. Default: for each file, the part before `@` of its folder's name.
            geometry: path of the `geometry.h5` of each region. Default: no geometry vectors.
            image_tokens: path of the `image_tokens.h5` of each region, None for a region without images. Default: no
                image tokens.

        Raises:
            DataError: a file is unreadable or has another schema, or the geometry vectors or image tokens of the
                regions are of different encoders.
        """
        given = names if names is not None else [None] * len(paths)
        regions = [RegionStore(path, name) for path, name in zip(paths, given, strict=True)]
        opened = None if images is None else [None if path is None else ImageStore(path) for path in images]
        vectors = None
        if geometry is not None:
            pairs = zip(geometry, regions, strict=True)
            vectors = [GeometryStore(path, region.n_pieces, region.name) for path, region in pairs]
        tokens = None
        if image_tokens is not None:
            counts = [None if store is None else len(store) for store in opened or [None] * len(regions)]
            tokens = open_image_tokens(image_tokens, counts, [region.name for region in regions])
        return cls(regions, opened, vectors, tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.regions, self.images, self.geometry, self.image_tokens))

    @property
    def geometry_kind(self) -> GeometryKind | None:
        """Encoder of the geometry vectors. None if the dataset was opened without them."""
        return self.geometry[0].kind if self.geometry else None

    @property
    def image_kind(self) -> ImageTokenKind | None:
        """Encoder of the image tokens. None if no region was opened with image tokens."""
        return next((store.kind for store in self.image_tokens or () if store is not None), None)

    @property
    def n_tiles(self) -> int:
        """Number of tiles of all regions together."""
        return int(self.tile_offsets[-1])

    @property
    def n_pieces(self) -> int:
        """Number of pieces (parts of OSM elements inside single tiles) of all regions together."""
        return int(self.piece_offsets[-1])

    @property
    def n_vocab(self) -> int:
        """Number of distinct tags of all regions together. A tag that occurs in two regions is counted twice."""
        return int(self.vocab_offsets[-1])

    @functools.cached_property
    def shape(self) -> tuple[tuple[int, int, int], ...]:
        """For every region, the number of tiles, of pieces (parts of OSM elements in a tile) and of distinct tags.

        A `View` (selection of tiles, tags and pieces) stores the shape of its dataset. `TileStore.read` refuses a view
        whose shape differs from the shape of the dataset.
        """
        return tuple((r.n_tiles, r.n_pieces, r.n_vocab) for r in self.regions)

    # tiles

    def tile_row(self, name: str) -> int:
        """Returns the row number, in the dataset's table of tiles, of the tile with the given name.

        If several regions contain the tile, returns the row number of the tile of the first of these regions.

        Raises:
            UsageError: `name` is not a tile name.
            NotFoundError: no region contains the tile. The message names the nearest tile.
        """
        rows = self.tile_rows(name)
        if len(rows) == 0:
            raise self._unknown_tile(parse_tile(name))
        return int(rows[0])

    def tile_rows(self, name: str) -> Rows:
        """Returns the row numbers, in the dataset's table of tiles, of the tile with the given name: int64.

        There is one row number for each region that contains the tile.
        """
        return np.flatnonzero((self.tile_zxy == np.array(parse_tile(name))).all(1))

    def tile_names(self, rows: npt.ArrayLike | None = None) -> list[str]:
        """Returns the names of the tiles with the given row numbers in the dataset. Default: all tiles."""
        zxy = self.tile_zxy if rows is None else self.tile_zxy[np.asarray(rows, np.int64)]
        return ["_".join(map(str, tile)) for tile in zxy.tolist()]

    def tile_bounds(self, rows: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Returns the bounds of the tiles in the given rows: float64 [n, 4], (west, south, east, north) in degrees.

        Default: all tiles.
        """
        zxy = self.tile_zxy if rows is None else self.tile_zxy[np.asarray(rows, np.int64)]
        return tiles_bounds(zxy[:, 0], zxy[:, 1], zxy[:, 2])

    def tile_regions(self, rows: npt.ArrayLike) -> Rows:
        """Returns the index of the region that contains each given tile: int64.

        Args:
            rows: row numbers of the tiles in the dataset.
        """
        return np.searchsorted(self.tile_offsets, np.asarray(rows, np.int64), side="right") - 1

    @functools.cached_property
    def groups(self) -> Rows:
        """For every tile, the zoom-14 tile that contains the tile (its group), as one integer: int64 [tiles]."""
        shift = self.tile_zxy[:, 0] - GROUP_ZOOM
        if bool((shift < 0).any()):
            message = f"the dataset has tiles of zoom {self.tile_zxy[:, 0].min()}, expected zoom {GROUP_ZOOM} or above"
            raise DataError(message, hints.run("tile", zoom=GROUP_ZOOM))
        return (self.tile_zxy[:, 1] >> shift) << 32 | self.tile_zxy[:, 2] >> shift

    def group_names(self, rows: npt.ArrayLike | None = None) -> list[str]:
        """Returns the name of the zoom-14 tile that contains each tile, such as `14_4513_6489`. Default: all tiles."""
        groups = self.groups if rows is None else self.groups[np.asarray(rows, np.int64)]
        return [TileId(GROUP_ZOOM, group >> 32, group & 0xFFFFFFFF).name for group in groups.tolist()]

    # images

    @functools.cached_property
    def image_rows(self) -> Rows:
        """Row number of every tile's image in the `images.h5` of the tile's region: int64 [tiles].

        The row number is -1 for a tile without an image.
        """
        rows = [
            np.full(region.n_tiles, -1, np.int64)
            if store is None
            else store.rows_of(region["tile/z"], region["tile/x"], region["tile/y"])
            for region, store in zip(self.regions, self.images, strict=True)
        ]
        return np.concatenate(rows)

    def image_rows_required(self) -> Rows:
        """Returns the row number of every tile's image in the `images.h5` of the tile's region: int64 [tiles].

        The row number is -1 for a tile without an image. Unlike `image_rows`, this method raises an error if no region
        was opened with images.

        Raises:
            UsageError: no region was opened with images.
        """
        if all(store is None for store in self.images):
            names = ", ".join(f"`{region.name}`" for region in self.regions)
            message = f"images are required, but {names} has no images"
            raise UsageError(message, hints.run("fetch", pbf="FILE", name="NAME", imagery="DIR"))
        return self.image_rows

    # pieces, objects, tags

    def tile_piece_counts(self) -> Rows:
        """Returns the number of pieces (parts of OSM elements) in every tile: int64 [tiles].

        Pieces that models do not see, such as boundaries, are counted too.
        """
        counts = [np.diff(region["tile/pieces"]).astype(np.int64) for region in self.regions]
        return np.concatenate(counts)

    def piece_tiles(self, pieces: npt.ArrayLike) -> Rows:
        """Returns, for each given piece (part of an OSM element in a tile), the row number of its tile: int64.

        All row numbers, also those of the given pieces, are row numbers in the dataset.
        """
        ends = np.cumsum(self.tile_piece_counts())
        return np.searchsorted(ends, np.asarray(pieces, np.int64), side="right")

    def piece_versions(self, pieces: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        """Returns the version of the OSM element of each given piece (part of an OSM element in a tile): uint32.

        Versions are 0 if the OSM file has no versions.
        """
        rows = np.asarray(pieces, np.int64)
        home = np.searchsorted(self.piece_offsets, rows, side="right") - 1
        versions = np.empty(len(rows), np.uint32)
        for index in np.unique(home).tolist():
            region, chosen = self.regions[index], home == index
            objects = region["piece/object"][rows[chosen] - self.piece_offsets[index]]
            versions[chosen] = region["object/version"][objects]
        return versions

    def tag(self, vocab_id: int) -> tuple[str, str]:
        """Returns the key and the value of a tag, from its row in the vocabulary (the list of distinct tags)."""
        index = int(np.searchsorted(self.vocab_offsets, vocab_id, side="right")) - 1
        row = vocab_id - int(self.vocab_offsets[index])
        return self.regions[index].keys[row], self.regions[index].values[row]

    @functools.cached_property
    def keys(self) -> list[str]:
        """Key of every tag in the vocabulary (the list of distinct tags)."""
        return [key for region in self.regions for key in region.keys]

    @functools.cached_property
    def values(self) -> list[str]:
        """Value of every tag in the vocabulary (the list of distinct tags)."""
        return [value for region in self.regions for value in region.values]

    def _unknown_tile(self, tile: TileId) -> NotFoundError:
        """Returns the error for a tile that the dataset does not contain. The message names the nearest tile."""
        same = np.flatnonzero(self.tile_zxy[:, 0] == tile.z)
        if len(same) == 0:
            zooms = ", ".join(str(zoom) for zoom in sorted(set(self.tile_zxy[:, 0].tolist())))
            return NotFoundError(f"unknown tile `{tile.name}`; tiles of the dataset have zoom {zooms}")
        away = np.abs(self.tile_zxy[same, 1:] - np.array(tile[1:])).max(1)
        close = self.tile_names(same[[int(away.argmin())]])[0]
        return NotFoundError(f"unknown tile `{tile.name}`; the nearest tile of the dataset is `{close}`")
