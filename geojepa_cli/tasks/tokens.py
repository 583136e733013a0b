"""The tokens of one region as flat arrays: which pieces count, in which tile, with which tags."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store import csr
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons
from geojepa_cli.tasks.rules import Flags, RuleVocabulary

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class RegionTokens:
    """The tokens (entities that count by default) of one region; K of them, in the order of `piece/`.

    Which pieces are tokens is the store's definition (`store.view.piece_reasons`). An object has one piece in a tile,
    so it counts once there, whatever number of parts clipping made of it.

    Attributes:
        region: the columns.
        vocabulary: its (key, value) pairs.
        pieces: row of `piece/` of every token, int64 [K].
        objects: row of `object/` of every token, int64 [K].
        tiles: row of `tile/` of every token, int64 [K], ascending.
        n_tiles: tiles of the region, with or without tokens.
    """

    def __init__(self, region: RegionStore) -> None:
        self.region = region
        self.vocabulary = RuleVocabulary(region.keys, region.values)
        self.n_tiles, self.n_objects = region.n_tiles, region.n_objects
        self.tag_offsets: Ints = region["object/tags"].astype(np.int64)
        self.tag_rows: Ints = region["tag/vocab"].astype(np.int64)
        objects: Ints = region["piece/object"].astype(np.int64)
        tile_of_piece = csr.parents(region["tile/pieces"])
        self.pieces: Ints = np.flatnonzero(piece_reasons(region) == 0)
        self.objects, self.tiles = objects[self.pieces], tile_of_piece[self.pieces]

    @cached_property
    def entries(self) -> tuple[Ints, Ints]:
        """Every tag of every token: index of the token (ascending) and vocabulary row, int64 each."""
        first, last = csr.spans(self.tag_offsets, self.objects)
        return np.repeat(np.arange(len(self.objects)), last - first), self.tag_rows[csr.ranges(first, last)]

    def objects_in(self, tiles: Flags) -> Flags:
        """Objects with a token in one of the tiles [n_tiles], bool [n_objects]."""
        found = np.zeros(self.n_objects, np.bool_)
        found[self.objects[tiles[self.tiles]]] = True
        return found

    def tags_of(self, objects: Ints) -> Ints:
        """How many of some objects have each tag, int64 [V]."""
        return np.bincount(self.tag_rows[csr.children(self.tag_offsets, objects)], minlength=len(self.vocabulary))

    def objects_with(self, matches: Flags) -> Flags:
        """Objects with at least one tag among the vocabulary rows `matches` [V], bool [n_objects]."""
        return self.tag_count(matches) > 0

    def tag_count(self, matches: Flags) -> Ints:
        """How many tags of every object are among the vocabulary rows `matches` [V], int64 [n_objects]."""
        running = csr.offsets(matches[self.tag_rows])
        counts: Ints = running[self.tag_offsets[1:]] - running[self.tag_offsets[:-1]]
        return counts

    def largest(self, values: Floats) -> Floats:
        """The largest of `values` [V] among every object's tags, float64 [n_objects]; -inf where it has no tag."""
        padded = np.append(values[self.tag_rows], -np.inf)  # reduceat needs every start to be a row
        result = np.maximum.reduceat(padded, self.tag_offsets[:-1]) if self.n_objects else np.empty(0)
        result[np.diff(self.tag_offsets) == 0] = -np.inf
        return result
