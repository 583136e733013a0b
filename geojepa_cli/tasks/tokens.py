"""The tokens of one region as flat arrays: the pieces that are tokens, their tiles and their tags."""

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

    `store.view.piece_reasons` defines which pieces are tokens. An object has one piece in a tile, so it counts once
    there, even where clipping cut it into several parts. A tag that stands twice on an object counts once.

    Attributes:
        region: the columns.
        vocabulary: its (key, value) pairs.
        pieces: row of `piece/` of every token, int64 [K].
        objects: row of `object/` of every token, int64 [K].
        tiles: row of `tile/` of every token, int64 [K], ascending.
        n_tiles: tiles of the region, with or without tokens.
        tag_offsets, tag_rows: vocabulary rows of every object in CSR form, int64 [n_objects + 1] and [tags].
    """

    def __init__(self, region: RegionStore) -> None:
        self.region = region
        self.vocabulary = RuleVocabulary(region.keys, region.values)
        self.n_tiles, self.n_objects = region.n_tiles, region.n_objects
        offsets, rows = region["object/tags"].astype(np.int64), region["tag/vocab"].astype(np.int64)
        self.tag_offsets, self.tag_rows = without_repeats(offsets, rows)
        objects: Ints = region["piece/object"].astype(np.int64)
        tile_of_piece = csr.parents(region["tile/pieces"])
        self.pieces: Ints = np.flatnonzero(piece_reasons(region) == 0)
        self.objects, self.tiles = objects[self.pieces], tile_of_piece[self.pieces]

    @cached_property
    def entries(self) -> tuple[Ints, Ints]:
        """Every tag of every token: index of the token (ascending) and vocabulary row, int64 each."""
        lengths = self.tag_offsets[self.objects + 1] - self.tag_offsets[self.objects]
        return np.repeat(np.arange(len(self.objects)), lengths), self._tags_of_each(self.objects)

    def objects_in(self, tiles: Flags) -> Flags:
        """Returns True for objects with a token in one of the tiles [n_tiles], bool [n_objects]."""
        found = np.zeros(self.n_objects, np.bool_)
        found[self.objects[tiles[self.tiles]]] = True
        return found

    def tags_of(self, objects: Ints) -> Ints:
        """Counts the objects (of some rows) that have each tag, int64 [V]."""
        return np.bincount(self._tags_of_each(objects), minlength=len(self.vocabulary))

    def objects_with(self, matches: Flags) -> Flags:
        """Returns True for objects with at least one tag among the vocabulary rows `matches` [V], bool [n_objects]."""
        return self.tag_count(matches) > 0

    def tag_count(self, matches: Flags) -> Ints:
        """Counts the tags of every object that are among the vocabulary rows `matches` [V], int64 [n_objects]."""
        running = csr.offsets(matches[self.tag_rows])
        counts: Ints = running[self.tag_offsets[1:]] - running[self.tag_offsets[:-1]]
        return counts

    def largest(self, values: Floats) -> Floats:
        """Returns the largest of `values` [V] among every object's tags, float64 [n_objects]; -inf without tags."""
        padded = np.append(values[self.tag_rows], -np.inf)  # reduceat needs every start to be a row
        result = np.maximum.reduceat(padded, self.tag_offsets[:-1]) if self.n_objects else np.empty(0)
        result[np.diff(self.tag_offsets) == 0] = -np.inf
        return result

    def _tags_of_each(self, objects: Ints) -> Ints:
        """Returns the vocabulary rows of some objects, one object after the other, int64."""
        return self.tag_rows[csr.children(self.tag_offsets, objects)]


def without_repeats(offsets: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Removes values that stand twice in a row of a CSR table; the first of them stays.

    Args:
        offsets: int64 [n + 1].
        rows: int64 [m], the values.

    Returns:
        offsets and values of the same table without repeated values.
    """
    owner = csr.parents(offsets)
    cells = owner * (int(rows.max(initial=0)) + 1) + rows
    first = np.unique(cells, return_index=True)[1]
    if len(first) == len(rows):
        return offsets, rows
    kept = np.sort(first)
    counts = np.bincount(owner[kept], minlength=len(offsets) - 1)
    return csr.offsets(counts), rows[kept]
