"""`CompiledView`: a selection of tiles, tags and parts of OSM elements, in a form with which tiles can be read fast.

A `View` defines the selection. A `CompiledView` holds the row numbers of the selected tags and of the selected pieces.
A piece is the part of an OSM element inside one tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geojepa_cli.store.csr import Array, Rows
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import View


class CompiledRegion(NamedTuple):
    """The pieces and tags that a `View` selects in one region, as row numbers in the region's file.

    A piece is the part of an OSM element inside one tile.
    """

    pieces: Array  # int32 [kept pieces], piece rows, tile by tile
    tile_ends: Rows  # int64 [tiles + 1], CSR offsets into `pieces`
    tag_ends: Array  # [objects + 1], CSR offsets into `tag_vocab`
    tag_vocab: Array  # uint32 [kept tags], vocabulary rows


class CompiledView:
    """The pieces and tags that a `View` selects, as row numbers, so that tiles can be read fast.

    A `View` is a selection of tiles, tags and pieces. A piece is the part of an OSM element inside one tile.

    Attributes:
        regions: selected pieces and tags of each region.
        lengths: int32 [tiles], number of tokens (entities) of every tile of the dataset; 0 for tiles that
            are not selected.
        kept: bool [tiles], True for selected tiles.
    """

    def __init__(self, regions: Sequence[RegionStore], view: View) -> None:
        parts = [view.region(index) for index in range(len(regions))]
        self.regions = [compile_region(region, part) for region, part in zip(regions, parts, strict=True)]
        self.lengths = np.concatenate([np.diff(region.tile_ends) for region in self.regions]).astype(np.int32)
        self.kept = np.zeros(len(self.lengths), bool)
        self.kept[view.tiles] = True


def compile_region(region: RegionStore, view: View) -> CompiledRegion:
    """Returns the row numbers of the pieces and tags that a `View` selects in a region.

    A piece is the part of an OSM element inside one tile. A piece is selected if its tile is selected and the `View`
    does not hide the piece. If the OSM element has no visible tags, `View.keep_untagged` must also be True.

    Args:
        region: opened file of the region.
        view: selection of tiles, tags and pieces of this region.
    """
    tag_ends, tag_vocab = region["object/tags"], region["tag/vocab"]
    if len(view.dropped_tags):
        shown = np.ones(region.n_vocab, bool)
        shown[view.dropped_tags] = False
        keep = shown[tag_vocab]
        if view.tags_dropped_of is not None:
            spared = np.ones(region.n_objects, bool)
            spared[region["piece/object"][view.tags_dropped_of]] = False
            keep |= np.repeat(spared, np.diff(tag_ends).astype(np.int64))
        kept_before = np.zeros(len(keep) + 1, np.int32)
        np.cumsum(keep, out=kept_before[1:])
        tag_ends, tag_vocab = kept_before[tag_ends], tag_vocab[keep]
    tile_ends = region["tile/pieces"].astype(np.int64)
    tiles = np.zeros(region.n_tiles, bool)
    tiles[view.tiles] = True
    kept = np.repeat(tiles, np.diff(tile_ends))
    if not view.keep_untagged:
        kept &= (np.diff(tag_ends) > 0)[region["piece/object"]]
    kept[view.dropped_pieces] = False
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return CompiledRegion(np.flatnonzero(kept).astype(np.int32), before[tile_ends], tag_ends, tag_vocab)
