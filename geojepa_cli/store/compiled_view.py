"""`CompiledView`: a `View` converted to row numbers of the pieces and tags to read, so that tiles can be read fast.

A `View` selects tiles, tags and pieces of a dataset. A piece is the part of an OSM element inside one tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geojepa_cli.store.csr import Array, Rows
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import View


class CompiledRegion(NamedTuple):
    """The pieces (parts of OSM elements inside single tiles) and tags of one region that a view keeps.

    Pieces and tags are given as row numbers in the region's file.
    """

    pieces: Array  # int32 [kept pieces], piece rows, tile by tile
    tile_ends: Rows  # int64 [tiles + 1], CSR offsets into `pieces`
    tag_ends: Array  # [objects + 1], CSR offsets into `tag_vocab`
    tag_vocab: Array  # uint32 [kept tags], vocabulary rows


class CompiledView:
    """A `View` (selection of tiles, tags and pieces) converted to row numbers of the pieces and tags to read.

    With these row numbers, tiles can be read fast.

    Attributes:
        regions: for each region, the pieces (parts of OSM elements inside single tiles) and tags that the view keeps.
        lengths: int32 [tiles], number of tokens (entities) of every tile of the dataset; 0 for tiles that the view
            drops.
        kept: bool [tiles], True for tiles that the view keeps.
    """

    def __init__(self, regions: Sequence[RegionStore], view: View) -> None:
        parts = [view.region(index) for index in range(len(regions))]
        self.regions = [compile_region(region, part) for region, part in zip(regions, parts, strict=True)]
        self.lengths = np.concatenate([np.diff(region.tile_ends) for region in self.regions]).astype(np.int32)
        self.kept = np.zeros(len(self.lengths), bool)
        self.kept[view.tiles] = True


def compile_region(region: RegionStore, view: View) -> CompiledRegion:
    """Returns the pieces (parts of OSM elements inside single tiles) and the tags of a region that a view keeps.

    A piece is left out if the view does not keep the tile of the piece, if the view hides the piece, or if the OSM
    element of the piece has no tag that the view keeps.
    """
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
