"""The tokens (visible entities) of one region as flat arrays, with their tiles and tags."""

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
    """The K tokens of one region, in the order of the file.

    An object is an OSM element. A piece is the part of an object in one tile. A token is a piece that models see unless
    it is masked; see `store.view.piece_reasons`. An object has at most one token in a tile, even if clipping cut it
    into several parts. A tag that an object has twice counts once.

    Attributes:
        region: opened file of the region.
        vocabulary: the V distinct tags (key, value) of the region.
        pieces: piece of every token, as row of the table `piece/`, int64 [K].
        objects: object of every token, as row of the table `object/`, int64 [K].
        tiles: tile of every token, as row of the table `tile/`, int64 [K], ascending.
        n_tiles: number of tiles of the region, with or without tokens.
        n_objects: number of objects of the region.
        tag_offsets, tag_rows: tags of every object as a CSR table of rows of the vocabulary, int64 [n_objects + 1] and
            int64 [tags].
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
        """All pairs of a token and one of its tags, as two arrays: token index (ascending) and row in `vocabulary`."""
        lengths = self.tag_offsets[self.objects + 1] - self.tag_offsets[self.objects]
        return np.repeat(np.arange(len(self.objects)), lengths), self._tags_of_each(self.objects)

    def objects_in(self, tiles: Flags) -> Flags:
        """Returns True for OSM elements with a token in one of the chosen tiles, bool [n_objects].

        Args:
            tiles: True for chosen tiles, bool [n_tiles].
        """
        found = np.zeros(self.n_objects, np.bool_)
        found[self.objects[tiles[self.tiles]]] = True
        return found

    def tags_of(self, objects: Ints) -> Ints:
        """Returns for each tag of the vocabulary how many of the given OSM elements have the tag, int64 [V]."""
        return np.bincount(self._tags_of_each(objects), minlength=len(self.vocabulary))

    def objects_with(self, matches: Flags) -> Flags:
        """Returns True for OSM elements with a tag for which `matches` (bool [V]) is True, bool [n_objects]."""
        return self.tag_count(matches) > 0

    def tag_count(self, matches: Flags) -> Ints:
        """Returns for each OSM element the number of its tags for which `matches` [V] is True, int64 [n_objects]."""
        running = csr.offsets(matches[self.tag_rows])
        counts: Ints = running[self.tag_offsets[1:]] - running[self.tag_offsets[:-1]]
        return counts

    def largest(self, values: Floats) -> Floats:
        """Returns for each OSM element the maximum of `values` [V] over its tags, or -inf, float64 [n_objects]."""
        padded = np.append(values[self.tag_rows], -np.inf)  # reduceat needs every start to be a row
        result = np.maximum.reduceat(padded, self.tag_offsets[:-1]) if self.n_objects else np.empty(0)
        result[np.diff(self.tag_offsets) == 0] = -np.inf
        return result

    def _tags_of_each(self, objects: Ints) -> Ints:
        """Returns the tags of the given OSM elements as rows of the vocabulary, concatenated in the given order."""
        return self.tag_rows[csr.children(self.tag_offsets, objects)]


def without_repeats(offsets: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Removes repeated values from each row of a CSR table. The first occurrence in each row is kept.

    Args:
        offsets: start of each row, int64 [n + 1].
        rows: values of all rows, concatenated, int64 [m].

    Returns:
        Offsets and values of the table without the repeated values.
    """
    owner = csr.parents(offsets)
    cells = owner * (int(rows.max(initial=0)) + 1) + rows
    first = np.unique(cells, return_index=True)[1]
    if len(first) == len(rows):
        return offsets, rows
    kept = np.sort(first)
    counts = np.bincount(owner[kept], minlength=len(offsets) - 1)
    return csr.offsets(counts), rows[kept]
