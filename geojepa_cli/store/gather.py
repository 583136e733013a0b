"""Reads tiles from memory-mapped columns into the tensors of a batch.

Reading a batch takes a fixed number of array operations per region. No Python loop runs over tiles or entities. All
tiles of a region are read together. If the tiles of a batch are ordered by region, the data of a region fill one slice
of the batch, which is fast to write. The sampler orders the tiles of shuffled batches in this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from geojepa_cli.config.images import TokenForm
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.compiled_view import CompiledRegion, CompiledView
from geojepa_cli.store.csr import Array, Rows
from geojepa_cli.store.dataset import Dataset
from geojepa_cli.store.geometry import GeometryStore
from geojepa_cli.store.image_form import SIZE_PX
from geojepa_cli.store.reader import RegionStore, box_corners, decode_xy

Slots = slice | Rows  # rows of a batch column that belong to one region


def gather(store: Dataset, view: CompiledView, tiles: Rows, needs: Needs) -> TileBatch:
    """Reads tiles as one batch.

    Args:
        store: dataset to read from.
        view: selection of tiles, tags and parts of OSM elements. Tags and parts that are not selected are left out.
        tiles: row numbers, in the dataset's table of tiles, of the tiles to read. The batch has the tiles in this
            order.
        needs: modalities to read. Tags and bounding rectangles are always read.

    Raises:
        ValueError: one of the tiles does not exist, or `view` does not select it.
    """
    if len(tiles) and (tiles.min() < 0 or tiles.max() >= store.n_tiles or not view.kept[tiles].all()):
        raise ValueError("a tile is not in the view")
    cu_seqlens = csr.offsets(view.lengths[tiles])
    columns = _Columns(len(tiles), cu_seqlens)
    shares = list(_shares(store, view, tiles, cu_seqlens))
    for share in shares:
        columns.take_tokens(share)
    columns.take_tags(shares)
    if Modality.NODES in needs:
        columns.take_nodes(shares)
    if Modality.GEOMETRY in needs and store.geometry is not None:
        columns.take_geometry(shares, store.geometry)
    values = {name: torch.from_numpy(array) for name, array in columns.arrays.items()}
    if Modality.IMAGE in needs:
        values |= _take_images(store, tiles)
    if Modality.IMAGE_TOKENS in needs and store.image_kind is not None:
        values |= _take_image_tokens(store, tiles, store.image_kind.form)
    return TileBatch(
        tile_rows=torch.from_numpy(tiles.copy()),
        tile_zxy=torch.from_numpy(store.tile_zxy[tiles]),
        cu_seqlens=torch.from_numpy(cu_seqlens.astype(np.int32)),
        **values,
    )


class _Share(NamedTuple):
    """The tokens (entities) of a batch that come from one region."""

    region: RegionStore
    view: CompiledRegion
    pieces: Rows  # piece row of each token in the region
    objects: Rows  # object row of each token in the region
    place: Slots  # rows of these tokens in the batch
    region_index: int  # index of the region in the dataset
    piece_base: int
    vocab_base: int


def _shares(store: Dataset, view: CompiledView, tiles: Rows, cu_seqlens: Rows) -> list[_Share]:
    """Returns the tokens (entities) of a batch, grouped by region."""
    home = store.tile_regions(tiles)
    together = bool((home[1:] >= home[:-1]).all())
    shares = []
    for index in np.unique(home).tolist():
        if together:
            first, last = np.searchsorted(home, [index, index + 1]).tolist()
            chosen: Any = slice(first, last)
            place: Slots = slice(int(cu_seqlens[first]), int(cu_seqlens[last]))
        else:
            chosen = np.flatnonzero(home == index)
            place = csr.ranges(cu_seqlens[:-1][chosen], cu_seqlens[1:][chosen])
        part = view.regions[index]
        rows = tiles[chosen] - store.tile_offsets[index]
        pieces = part.pieces.take(csr.children(part.tile_ends, rows)).astype(np.int64)
        objects = store.regions[index]["piece/object"].take(pieces).astype(np.int64)
        bases = int(store.piece_offsets[index]), int(store.vocab_offsets[index])
        shares.append(_Share(store.regions[index], part, pieces, objects, place, index, *bases))
    return shares


class _Columns:
    """The arrays of a batch, each under the name of its field in `TileBatch`.

    Each method whose name starts with `take_` fills some of the arrays.
    """

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
        """Reads the columns that have one value per token, for the tokens of one region."""
        self.arrays["box"][share.place] = _take_boxes(share.region, share.pieces)
        for name in ("area_m2", "length_m"):
            _take(share.region[f"piece/{name}"], share.pieces, self.arrays[name], share.place)
        for name in ("kind", "osm_type", "osm_id"):
            _take(share.region[f"object/{name}"], share.objects, self.arrays[name], share.place)
        self.arrays["piece_rows"][share.place] = share.pieces + share.piece_base

    def take_tags(self, shares: list[_Share]) -> None:
        """Reads the tags of every token into `tag_ids` and `tag_offsets`. Skips tags that the `View` hides."""
        spans = [csr.spans(s.view.tag_ends, s.objects) for s in shares]
        ends, places = self._children(shares, spans)
        ids = np.empty(int(ends[-1]), np.int64)
        for share, span, place in zip(shares, spans, places, strict=True):
            ids[place] = share.view.tag_vocab.take(csr.ranges(*span))
            if share.vocab_base:
                ids[place] += share.vocab_base
        self.arrays |= {"tag_ids": ids, "tag_offsets": ends}

    def take_geometry(self, shares: list[_Share], stores: Sequence[GeometryStore]) -> None:
        """Reads the geometry vector of every token."""
        vectors = np.empty((self.n_tokens, stores[0].kind.dim), np.float16)
        for share in shares:
            _take(stores[share.region_index].vector, share.pieces, vectors, share.place)
        self.arrays["geometry"] = vectors

    def take_nodes(self, shares: list[_Share]) -> None:
        """Reads the geometry of every token: points, lines and rings with their vertices, and visibility edges.

        A visibility edge joins a vertex to a nearby vertex of another part (point, line or ring) of the same OSM
        element. No line or ring of this element crosses the edge.
        """
        for share in shares:
            share.region.check_geometry()
        part_spans = [csr.spans(s.region["piece/parts"], s.pieces) for s in shares]
        node_spans = [
            (csr.take_offsets(s.region["part/nodes"], first), csr.take_offsets(s.region["part/nodes"], last))
            for s, (first, last) in zip(shares, part_spans, strict=True)
        ]
        edge_spans = [csr.spans(s.region["piece/edges"], s.pieces) for s in shares]
        part_ends, part_places = self._children(shares, part_spans)
        node_ends, node_places = self._children(shares, node_spans)
        edge_ends, edge_places = self._children(shares, edge_spans)
        part_sizes, role = np.empty(int(part_ends[-1]), np.int64), np.empty(int(part_ends[-1]), np.uint8)
        xy, edges = np.empty((int(node_ends[-1]), 2), np.float32), np.empty((2, int(edge_ends[-1])), np.int64)
        first_node = np.repeat(node_ends[:-1], np.diff(edge_ends))
        for i, share in enumerate(shares):
            parts = csr.ranges(*part_spans[i])
            role[part_places[i]] = share.region["part/role"].take(parts)
            first, last = csr.spans(share.region["part/nodes"], parts)
            part_sizes[part_places[i]] = last - first
            xy[node_places[i]] = _take_xy(share.region["node/xy"], csr.ranges(*node_spans[i]))
            ends = _take_pairs(share.region["edge/ends"], csr.ranges(*edge_spans[i]))
            edges[:, edge_places[i]] = ends.T + first_node[edge_places[i]]
        self.arrays |= {"node_xy": xy, "node_offsets": node_ends, "part_offsets": part_ends, "part_role": role}
        self.arrays |= {"part_node_offsets": csr.offsets(part_sizes), "edges": edges, "edge_offsets": edge_ends}

    def _children(self, shares: list[_Share], spans: list[tuple[Rows, Rows]]) -> tuple[Rows, list[Slots]]:
        """Computes where the children of each token (such as its tags) are stored in the batch.

        The batch has one array with the children of all tokens, one token after the other.

        Args:
            shares: tokens of the batch, divided by region.
            spans: for each region, two arrays with one value per token: the row of the token's first child in the
                region's file, and the row of its last child + 1.

        Returns:
            CSR offsets of the children of all tokens, and one entry per region: the rows of the batch's array in which
            the children from this region are stored.
        """
        counts = np.empty(self.n_tokens, np.int64)
        for share, (first, last) in zip(shares, spans, strict=True):
            counts[share.place] = last - first
        ends = csr.offsets(counts)
        places: list[Slots] = []
        for share in shares:
            place = share.place
            if isinstance(place, slice):
                places.append(slice(int(ends[place.start]), int(ends[place.stop])))
            else:
                places.append(csr.ranges(ends[:-1][place], ends[1:][place]))
        return ends, places


def _take(column: Array, rows: Rows, out: Array, place: Slots) -> None:
    if isinstance(place, slice):
        column.take(rows, axis=0, out=out[place], mode="clip")
    else:
        out[place] = column.take(rows, axis=0)


def _take_pairs(column: Array, rows: Rows) -> Array:
    """Returns the rows of a column with the given row numbers. The column has shape [n, 2] and four-byte values.

    For speed, each row is copied as one eight-byte value.
    """
    if len(column) == 0:
        return np.empty((0, 2), column.dtype)
    return column.view(np.uint64)[:, 0].take(rows).view(column.dtype).reshape(-1, 2)


def _take_boxes(region: RegionStore, rows: Rows) -> Array:
    """Returns the corners of the bounding rectangles of pieces (parts of OSM elements in a tile): float32 [n, 8]."""
    return box_corners(_take_xy(region["piece/box_centre"], rows), region["piece/box_side"].take(rows, axis=0))


def _take_xy(column: Array, rows: Rows) -> Array:
    """Returns the vertices in the given rows of a column, converted to tile units: float32 [n, 2].

    One tile unit is the length of the tile's south edge. For speed, x and y are copied together as one value.
    """
    if len(column) == 0:
        return np.empty((0, 2), np.float32)
    whole = column.view(np.uint32 if column.dtype == np.uint16 else np.uint64)[:, 0]
    return decode_xy(whole.take(rows).view(column.dtype).reshape(-1, 2))


def _take_images(store: Dataset, tiles: Rows) -> dict[str, torch.Tensor]:
    """Reads the images of the given tiles, in the order of the tiles. Tiles without an image are skipped."""
    columns = [None if images is None else images.image for images in store.images]
    images, shown = _take_shown(store, tiles, columns, (3, SIZE_PX, SIZE_PX), np.uint8)
    return {"images": images, "image_tiles": shown}


def _take_image_tokens(store: Dataset, tiles: Rows, form: TokenForm) -> dict[str, torch.Tensor]:
    """Reads the image tokens of the given tiles, in the order of the tiles. Tiles without an image are skipped."""
    columns = [None if tokens is None else tokens.token for tokens in store.image_tokens or ()]
    tokens, shown = _take_shown(store, tiles, columns, (form.tokens, form.dim), np.float16)
    return {"image_tokens": tokens, "image_tiles": shown}


def _take_shown(
    store: Dataset, tiles: Rows, columns: Sequence[Any], shape: tuple[int, ...], dtype: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reads a column with one row per image, for the tiles that have an image.

    Args:
        store: dataset to read from.
        tiles: row numbers of the tiles in the dataset.
        columns: column of each region, with one row for each image in the region's `images.h5`; None for a region
            without images.
        shape, dtype: shape and type of a row.

    Returns:
        Two tensors: the rows that were read, in the order of `tiles`; and the index in `tiles` of each row's tile,
        int64.
    """
    rows = store.image_rows[tiles]
    shown = np.flatnonzero(rows >= 0)
    taken = np.empty((len(shown), *shape), dtype)
    home = store.tile_regions(tiles[shown])
    for index in np.unique(home).tolist():
        chosen = np.flatnonzero(home == index)
        place: Slots = slice(None) if len(chosen) == len(shown) else chosen
        _take(columns[index], rows[shown[chosen]], taken, place)
    return torch.from_numpy(taken), torch.from_numpy(shown)
