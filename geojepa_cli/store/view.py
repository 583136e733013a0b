"""`View`: a selection of tiles, tags and pieces of a dataset. A piece is the part of an OSM element inside one tile.

Filters, dataset splits and tasks are all expressed as a `View`. It has three sorted lists of row numbers: of the tiles
to keep, of the tags to hide, and of the pieces to hide. A piece is also hidden if all tags of its OSM element are
hidden, unless the `View` keeps such pieces. A `View` also stores how many tiles and pieces were left out for each
reason. It holds no data of the dataset, and is applied when tiles are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.errors import UsageError
from geojepa_cli.store import schema
from geojepa_cli.store.csr import Rows, offsets
from geojepa_cli.store.dataset import Dataset
from geojepa_cli.store.reader import RegionStore

Bounds = tuple[float, float, float, float]
Shape = tuple[tuple[int, int, int], ...]
_ROWS = ("tiles", "dropped_pieces", "dropped_tags")  # in the order of a region's shape


def _no_rows() -> Rows:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class View:
    """A selection of tiles, tags and pieces of a dataset. A piece is the part of an OSM element inside one tile.

    Attributes:
        shape: for every region of the dataset, the number of tiles, of pieces and of distinct tags.
        tiles: sorted row numbers of the tiles to keep, in the dataset's table of tiles, int64.
        dropped_tags: sorted row numbers of the tags to hide, in the dataset's list of distinct tags, int64.
        dropped_pieces: sorted row numbers of the pieces to hide, in the dataset's table of pieces, int64.
        counts: number of dropped tiles or pieces, by the reason for dropping them.
        tags_dropped_of: None to hide `dropped_tags` on all OSM elements. Otherwise, sorted row numbers of pieces,
            int64: the tags are hidden only on the OSM elements of these pieces.
        keep_untagged: True to keep pieces without visible tags. A model reads them as entities without tags. This
            applies also to pieces that never had tags, unless `dropped_pieces` contains them.
    """

    shape: Shape
    tiles: Rows
    dropped_tags: Rows = field(default_factory=_no_rows)
    dropped_pieces: Rows = field(default_factory=_no_rows)
    counts: dict[str, int] = field(default_factory=dict)
    tags_dropped_of: Rows | None = None
    keep_untagged: bool = False

    def __post_init__(self) -> None:
        limits = [*zip(_ROWS, self.sizes, strict=True), ("tags_dropped_of", self.sizes[1])]
        for name, limit in limits:
            if getattr(self, name) is None:
                continue
            rows = _sorted(getattr(self, name))
            if len(rows) and (rows[0] < 0 or rows[-1] >= limit):
                raise ValueError(f"{name} has rows {rows[0]}..{rows[-1]}, the dataset has {limit}")
            object.__setattr__(self, name, rows)

    @classmethod
    def full(cls, store: Dataset) -> View:
        """Selects all tiles, tags and parts of OSM elements, including boundaries, which are not entities."""
        return cls(store.shape, np.arange(store.n_tiles, dtype=np.int64))

    @classmethod
    def default(
        cls,
        store: Dataset,
        min_entities: int = DEFAULT_LIMITS.low,
        max_entities: int | None = DEFAULT_LIMITS.high,
        imagery_only: bool = False,
        bbox: Bounds | None = None,
    ) -> View:
        """Selects the tiles and entities that are used for training by default.

        Parts of OSM elements that are not entities, such as boundaries, are hidden.

        Args:
            store: dataset from which tiles and entities are selected.
            min_entities, max_entities: minimum and maximum number of entities of a tile; None for no maximum. Tiles
                with fewer or more entities are dropped.
            imagery_only: True to keep only tiles with an image.
            bbox: bounding box (west, south, east, north) in degrees. Tiles that do not overlap the bounding box are
                dropped. Default: no bounding box.

        Raises:
            UsageError: `imagery_only` is set and the dataset has no images, or the bounding box is empty.
        """
        pieces = [piece_reasons(region) for region in store.regions]
        tokens = [offsets(codes == 0) for codes in pieces]
        ends = [region["tile/pieces"].astype(np.int64) for region in store.regions]
        lengths = np.concatenate([_no_rows(), *(np.diff(t[e]) for t, e in zip(tokens, ends, strict=True))])
        verdicts: list[tuple[str, npt.NDArray[np.bool_]]] = []
        if bbox is not None:
            verdicts.append(("tiles outside the bounding box", ~_overlaps(store.tile_bounds(), bbox)))
        if imagery_only:
            verdicts.append(("tiles without an image", store.image_rows_required() < 0))
        verdicts.append((f"tiles with fewer than {min_entities} entities", lengths < min_entities))
        if max_entities is not None:
            verdicts.append((f"tiles with more than {max_entities} entities", lengths > max_entities))
        kept = np.ones(store.n_tiles, bool)
        counts: dict[str, int] = {}
        for reason, out in verdicts:
            counts[reason] = int(np.count_nonzero(out & kept))
            kept &= ~out
        codes = np.concatenate([np.empty(0, np.uint8), *pieces])
        codes[~np.repeat(kept, store.tile_piece_counts())] = 0  # the piece is dropped and counted with its tile
        for code, reason in PIECE_REASONS.items():
            counts[reason] = int(np.count_nonzero(codes == code))
        return cls(store.shape, np.flatnonzero(kept), dropped_pieces=np.flatnonzero(codes), counts=counts)

    @classmethod
    def concat(cls, views: Sequence[View]) -> View:
        """Joins the selections from several regions into one selection from a dataset with all these regions.

        Args:
            views: one selection for each region, in the order of the regions in the dataset. `keep_untagged` must
                be the same in all selections. `tags_dropped_of` must be None in all selections or in none.

        Raises:
            ValueError: the selections do not meet these conditions.
        """
        if len({(view.keep_untagged, view.tags_dropped_of is None) for view in views}) > 1:
            raise ValueError("the views hide tags in different ways")
        base = np.zeros(3, np.int64)
        tiles, tags, pieces, masked = [_no_rows()], [_no_rows()], [_no_rows()], [_no_rows()]
        counts: dict[str, int] = {}
        for view in views:
            tiles.append(view.tiles + base[0])
            pieces.append(view.dropped_pieces + base[1])
            tags.append(view.dropped_tags + base[2])
            masked.append(_no_rows() if view.tags_dropped_of is None else view.tags_dropped_of + base[1])
            base += view.sizes
            for reason, n in view.counts.items():
                counts[reason] = counts.get(reason, 0) + n
        shape = tuple(region for view in views for region in view.shape)
        some = bool(views) and views[0].tags_dropped_of is not None
        return cls(
            shape,
            np.concatenate(tiles),
            np.concatenate(tags),
            np.concatenate(pieces),
            counts,
            np.concatenate(masked) if some else None,
            bool(views) and views[0].keep_untagged,
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of tiles, of pieces (parts of OSM elements in a tile) and of distinct tags of the whole dataset."""
        tiles, pieces, vocab = np.array(self.shape, np.int64).reshape(-1, 3).sum(0).tolist()
        return tiles, pieces, vocab

    def restrict(self, tiles: npt.ArrayLike, reason: str | None = None) -> View:
        """Returns a copy of this selection with only those selected tiles that are also in `tiles`.

        If `reason` is given, the number of tiles that this call leaves out is added to `counts[reason]` of the copy.
        """
        kept = np.intersect1d(self.tiles, np.asarray(tiles, np.int64))
        return replace(self, tiles=kept, counts=self._counted(reason, len(self.tiles) - len(kept)))

    def drop(self, tags: npt.ArrayLike = (), pieces: npt.ArrayLike = (), reason: str | None = None) -> View:
        """Returns a copy of this selection in which the given tags and pieces (parts of OSM elements) are hidden too.

        If `reason` is given, the number of newly hidden pieces is added to `counts[reason]` of the copy.
        """
        dropped = np.union1d(self.dropped_pieces, np.asarray(pieces, np.int64))
        return replace(
            self,
            dropped_tags=np.union1d(self.dropped_tags, np.asarray(tags, np.int64)),
            dropped_pieces=dropped,
            counts=self._counted(reason, len(dropped) - len(self.dropped_pieces)),
        )

    def trimmed(self, store: Dataset) -> View:
        """Returns an equal selection with a shorter list `dropped_pieces`.

        Pieces (parts of OSM elements) of tiles that are not selected are removed from the list.
        """
        kept = np.zeros(store.n_tiles, bool)
        kept[self.tiles] = True
        return replace(self, dropped_pieces=self.dropped_pieces[kept[store.piece_tiles(self.dropped_pieces)]])

    def region(self, index: int) -> View:
        """Returns the part of this selection that belongs to one region.

        Row numbers in the result refer to the region's file, not to the dataset. The result has no counts.
        """
        base = np.array(self.shape[:index], np.int64).reshape(-1, 3).sum(0)
        sizes = self.shape[index]
        tiles, pieces, tags = (
            _part(rows, start, size)
            for rows, start, size in zip((self.tiles, self.dropped_pieces, self.dropped_tags), base, sizes, strict=True)
        )
        masked = None if self.tags_dropped_of is None else _part(self.tags_dropped_of, base[1], sizes[1])
        return View((sizes,), tiles, tags, pieces, tags_dropped_of=masked, keep_untagged=self.keep_untagged)

    def _counted(self, reason: str | None, n: int) -> dict[str, int]:
        return self.counts if reason is None else {**self.counts, reason: self.counts.get(reason, 0) + n}


PIECE_REASONS = {
    1: "entities that cover their tile",
    2: "entities that are boundaries",
    3: "entities that are restrictions",
    4: "entities without a tag",
}


def piece_reasons(region: RegionStore) -> npt.NDArray[np.uint8]:
    """Returns, for each piece of a region, a code that says why the piece is not an entity: uint8 [pieces].

    A piece is the part of an OSM element that lies in one tile. Code 0 means that the piece is an entity.
    `PIECE_REASONS` describes the other codes.
    """
    tokens = region["object/token"]
    by_object = np.where(tokens == schema.TOKEN["entity"], 0, tokens + 1).astype(np.uint8)
    by_object[(by_object == 0) & (np.diff(region["object/tags"]) == 0)] = 4
    codes: npt.NDArray[np.uint8] = by_object[region["piece/object"]]
    codes[(codes == 0) & (region["piece/covers_tile"] != 0)] = 1
    return codes


def _sorted(rows: npt.ArrayLike) -> Rows:
    array = np.asarray(rows, np.int64).reshape(-1)
    return array if len(array) < 2 or bool((array[1:] > array[:-1]).all()) else np.unique(array)


def _part(rows: Rows, start: int, size: int) -> Rows:
    """Selects the values of a sorted array from `start` to `start + size` (excluded), and subtracts `start`."""
    return rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + size)] - start


def _overlaps(bounds: npt.NDArray[np.float64], bbox: Bounds) -> npt.NDArray[np.bool_]:
    west, south, east, north = bbox
    if not (west < east and south < north):
        raise UsageError(
            f"bounding box {bbox} is empty, expected west < east and south < north",
            hints.again(bbox="WEST,SOUTH,EAST,NORTH"),
        )
    inside = (bounds[:, 0] < east) & (bounds[:, 2] > west) & (bounds[:, 1] < north) & (bounds[:, 3] > south)
    return np.asarray(inside, bool)
