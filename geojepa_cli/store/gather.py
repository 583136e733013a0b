"""The one gather: rows of memory-mapped columns, through a view, into packed tensors.

A view is compiled once into the kept pieces of every tile and the kept tags of every object (both CSR, one number a
row). A batch is then a fixed number of array operations: no Python loop runs over tiles or entities, only one over
the regions that occur in the batch. Tiles are taken region by region and written to the place where they were asked
for; where the tiles of each region stand together, as the sampler has them, those places are plain slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.reader import RegionStore, box_corners, decode_xy

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
Place = slice | Rows  # where the rows of one region go in a column of the batch


class CompiledRegion(NamedTuple):
    """What a view leaves of one region, in rows of that region."""

    pieces: Array  # int32 [kept], kept piece rows, tile by tile
    tile_ends: Rows  # int64 [tiles + 1], CSR into `pieces`
    tag_ends: Array  # [objects + 1], CSR into `tag_vocab`
    tag_vocab: Array  # uint32 [kept tags], vocabulary rows


class CompiledView:
    """A view ready for the gather.

    Attributes:
        regions: what is left of every region.
        lengths: int32 [tiles], tokens of every tile of the dataset; 0 for tiles that are not kept.
        kept: bool [tiles].
    """

    def __init__(self, regions: Sequence[RegionStore], view: View) -> None:
        parts = [view.region(index) for index in range(len(regions))]
        self.regions = [compile_region(region, part) for region, part in zip(regions, parts, strict=True)]
        self.lengths = np.concatenate([np.diff(region.tile_ends) for region in self.regions]).astype(np.int32)
        self.kept = np.zeros(len(self.lengths), bool)
        self.kept[view.tiles] = True


def compile_region(region: RegionStore, view: View) -> CompiledRegion:
    """Applies a view of one region: drops tags, then pieces, then pieces whose objects have no tag left."""
    tag_ends, tag_vocab = region["object/tags"], region["tag/vocab"]
    if len(view.dropped_tags):
        shown = np.ones(region.n_vocab, bool)
        shown[view.dropped_tags] = False
        keep = shown[tag_vocab]
        kept_before = np.zeros(len(keep) + 1, np.int32)
        np.cumsum(keep, out=kept_before[1:])
        tag_ends, tag_vocab = kept_before[tag_ends], tag_vocab[keep]
    tile_ends = region["tile/pieces"].astype(np.int64)
    tiles = np.zeros(region.n_tiles, bool)
    tiles[view.tiles] = True
    kept = np.repeat(tiles, np.diff(tile_ends))
    kept &= (np.diff(tag_ends) > 0)[region["piece/object"]]
    kept[view.dropped_pieces] = False
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return CompiledRegion(np.flatnonzero(kept).astype(np.int32), before[tile_ends], tag_ends, tag_vocab)


def gather(store: TileStore, view: CompiledView, tiles: Rows, geometry: bool, images: bool) -> TileBatch:
    """Reads tiles (dataset rows, in this order) as one batch.

    Raises:
        ValueError: a tile does not exist or is not in the view.
    """
    if len(tiles) and (tiles.min() < 0 or tiles.max() >= store.n_tiles or not view.kept[tiles].all()):
        raise ValueError("a tile is not in the view")
    cu_seqlens = _ends(view.lengths[tiles])
    columns = _Columns(len(tiles), cu_seqlens)
    shares = list(_shares(store, view, tiles, cu_seqlens))
    for share in shares:
        columns.take_tokens(share)
    columns.take_tags(shares)
    if geometry:
        columns.take_geometry(shares)
    values = {name: torch.from_numpy(array) for name, array in columns.arrays.items()}
    if images:
        values |= _take_images(store, tiles)
    return TileBatch(
        tile_rows=torch.from_numpy(tiles.copy()),
        tile_zxy=torch.from_numpy(store.tile_zxy[tiles]),
        cu_seqlens=torch.from_numpy(cu_seqlens.astype(np.int32)),
        **values,
    )


class _Share(NamedTuple):
    """The tokens of a batch that come from one region."""

    region: RegionStore
    view: CompiledRegion
    pieces: Rows  # rows of the region
    objects: Rows
    place: Place  # in the batch's token columns
    piece_base: int
    vocab_base: int


def _shares(store: TileStore, view: CompiledView, tiles: Rows, cu_seqlens: Rows) -> list[_Share]:
    """Splits a batch by region."""
    home = store.tile_regions(tiles)
    together = bool((home[1:] >= home[:-1]).all())
    shares = []
    for index in np.unique(home).tolist():
        if together:
            first, last = np.searchsorted(home, [index, index + 1]).tolist()
            chosen: Any = slice(first, last)
            place: Place = slice(int(cu_seqlens[first]), int(cu_seqlens[last]))
        else:
            chosen = np.flatnonzero(home == index)
            place = _ranges(cu_seqlens[:-1][chosen], cu_seqlens[1:][chosen])
        part = view.regions[index]
        rows = tiles[chosen] - store.tile_offsets[index]
        pieces = part.pieces.take(_ranges(part.tile_ends.take(rows), part.tile_ends.take(rows + 1))).astype(np.int64)
        objects = store.regions[index]["piece/object"].take(pieces).astype(np.int64)
        bases = int(store.piece_offsets[index]), int(store.vocab_offsets[index])
        shares.append(_Share(store.regions[index], part, pieces, objects, place, *bases))
    return shares


class _Columns:
    """The columns of a batch while they are filled, region by region."""

    def __init__(self, n_tiles: int, cu_seqlens: Rows) -> None:
        n = int(cu_seqlens[-1])
        self.n_tokens = n
        self.arrays: dict[str, Array] = {
            "box": np.empty((n, 8), np.float32),
            "kind": np.empty(n, np.uint8),
            "area_m2": np.empty(n, np.float32),
            "length_m": np.empty(n, np.float32),
            "piece_rows": np.empty(n, np.int64),
            "osm_type": np.empty(n, np.uint8),
            "osm_id": np.empty(n, np.int64),
        }

    def take_tokens(self, share: _Share) -> None:
        """One value a token."""
        self.arrays["box"][share.place] = _take_boxes(share.region, share.pieces)
        for name in ("area_m2", "length_m"):
            _take(share.region[f"piece/{name}"], share.pieces, self.arrays[name], share.place)
        for name in ("kind", "osm_type", "osm_id"):
            _take(share.region[f"object/{name}"], share.objects, self.arrays[name], share.place)
        self.arrays["piece_rows"][share.place] = share.pieces + share.piece_base

    def take_tags(self, shares: list[_Share]) -> None:
        """Kept tags of every token."""
        spans = [_spans(s.view.tag_ends, s.objects) for s in shares]
        ends, places = self._children(shares, spans)
        ids = np.empty(int(ends[-1]), np.int64)
        for share, span, place in zip(shares, spans, places, strict=True):
            ids[place] = share.view.tag_vocab.take(_ranges(*span))
            if share.vocab_base:
                ids[place] += share.vocab_base
        self.arrays |= {"tag_ids": ids, "tag_offsets": ends}

    def take_geometry(self, shares: list[_Share]) -> None:
        """Parts, vertices and visibility edges of every token."""
        for share in shares:
            share.region.check_geometry()
        part_spans = [_spans(s.region["piece/parts"], s.pieces) for s in shares]
        node_spans = [
            (_take_ends(s.region["part/nodes"], first), _take_ends(s.region["part/nodes"], last))
            for s, (first, last) in zip(shares, part_spans, strict=True)
        ]
        edge_spans = [_spans(s.region["piece/edges"], s.pieces) for s in shares]
        part_ends, part_places = self._children(shares, part_spans)
        node_ends, node_places = self._children(shares, node_spans)
        edge_ends, edge_places = self._children(shares, edge_spans)
        part_sizes, role = np.empty(int(part_ends[-1]), np.int64), np.empty(int(part_ends[-1]), np.uint8)
        xy, edges = np.empty((int(node_ends[-1]), 2), np.float32), np.empty((2, int(edge_ends[-1])), np.int64)
        first_node = np.repeat(node_ends[:-1], np.diff(edge_ends))
        for i, share in enumerate(shares):
            parts = _ranges(*part_spans[i])
            role[part_places[i]] = share.region["part/role"].take(parts)
            first, last = _spans(share.region["part/nodes"], parts)
            part_sizes[part_places[i]] = last - first
            xy[node_places[i]] = _take_xy(share.region["node/xy"], _ranges(*node_spans[i]))
            ends = _take_pairs(share.region["edge/ends"], _ranges(*edge_spans[i]))
            edges[:, edge_places[i]] = ends.T + first_node[edge_places[i]]
        self.arrays |= {"node_xy": xy, "node_offsets": node_ends, "part_offsets": part_ends, "part_role": role}
        self.arrays |= {"part_node_offsets": _ends(part_sizes), "edges": edges, "edge_offsets": edge_ends}

    def _children(self, shares: list[_Share], spans: list[tuple[Rows, Rows]]) -> tuple[Rows, list[Place]]:
        """Offsets of a child column over all tokens, and where each region's children go in it."""
        counts = np.empty(self.n_tokens, np.int64)
        for share, (first, last) in zip(shares, spans, strict=True):
            counts[share.place] = last - first
        ends = _ends(counts)
        places: list[Place] = []
        for share in shares:
            place = share.place
            if isinstance(place, slice):
                places.append(slice(int(ends[place.start]), int(ends[place.stop])))
            else:
                places.append(_ranges(ends[:-1][place], ends[1:][place]))
        return ends, places


def _ends(counts: Array) -> Rows:
    """Offsets int64 [n + 1] of rows with these many children."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    return ends


def _ranges(first: Rows, last: Rows) -> Rows:
    """first[0]..last[0], first[1]..last[1], … one after the other: int64."""
    counts = last - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    rows = np.repeat(first - ends + counts, counts)
    rows += np.arange(total)
    return rows


def _spans(ends: Array, rows: Rows) -> tuple[Rows, Rows]:
    """First and last child of each row of a CSR column."""
    return _take_ends(ends, rows), _take_ends(ends, rows + 1)


def _take_ends(ends: Array, rows: Rows) -> Rows:
    # Offsets are stored unsigned; below 2^63 the same bits are the signed number.
    return (ends.view(np.int64) if ends.dtype == np.uint64 else ends).take(rows).astype(np.int64, copy=False)


def _take(column: Array, rows: Rows, out: Array, place: Place) -> None:
    if isinstance(place, slice):
        column.take(rows, axis=0, out=out[place], mode="clip")
    else:
        out[place] = column.take(rows, axis=0)


def _take_pairs(column: Array, rows: Rows) -> Array:
    """Rows of an [n, 2] column of four-byte values, moved as one eight-byte value each."""
    if len(column) == 0:
        return np.empty((0, 2), column.dtype)
    return column.view(np.uint64)[:, 0].take(rows).view(column.dtype).reshape(-1, 2)


def _take_boxes(region: RegionStore, rows: Rows) -> Array:
    """Corners of boxes as float32 [n, 8]."""
    return box_corners(_take_xy(region["piece/box_centre"], rows), region["piece/box_side"].take(rows, axis=0))


def _take_xy(column: Array, rows: Rows) -> Array:
    """Vertices as float32 [n, 2]; the two coordinates are moved as one value."""
    if len(column) == 0:
        return np.empty((0, 2), np.float32)
    whole = column.view(np.uint32 if column.dtype == np.uint16 else np.uint64)[:, 0]
    return decode_xy(whole.take(rows).view(column.dtype).reshape(-1, 2))


def _take_images(store: TileStore, tiles: Rows) -> dict[str, torch.Tensor]:
    """Images of the tiles that have one, in the order of the tiles."""
    rows = store.image_rows[tiles]
    shown = np.flatnonzero(rows >= 0)
    images = np.empty((len(shown), 3, 224, 224), np.uint8)
    home = store.tile_regions(tiles[shown])
    for index in np.unique(home).tolist():
        chosen = np.flatnonzero(home == index)
        place: Place = slice(None) if len(chosen) == len(shown) else chosen
        region = store.images[index]
        assert region is not None
        _take(region.image, rows[shown[chosen]], images, place)
    return {"images": torch.from_numpy(images), "image_tiles": torch.from_numpy(shown)}
