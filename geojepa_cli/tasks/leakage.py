"""Leakage: OSM elements that are in tiles of both train and test.

A road or a lake may cross several tiles. If some of them are train tiles and others are test tiles, the model has seen
a part of the test data. Elements are compared by OSM type and id. Validation tiles count as train tiles: settings of
heads are chosen on them, and the linear head is fitted to them too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from geojepa_cli.store import schema
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.splits import BUFFER, SPLITS, PartNumbers, next_to
from geojepa_cli.tasks.tokens import Ints, RegionTokens

SHARED = "entities in several blocks"
SHOWN_TAGS = 4
_KINDS = {number: name for name, number in schema.KIND.items()}
_ID_BITS = 60


class Sides(NamedTuple):
    """The tiles for fitting (train and validation) and the tiles for testing, bool [n] each."""

    seen: Flags
    tested: Flags


def sides_of_split(split: PartNumbers, kept: Flags) -> list[Sides]:
    """Returns the fitting and test tiles of a split, kept tiles only."""
    test = split == SPLITS.index("test")
    return [Sides(kept & ~test & (split != BUFFER), kept & test)]


def sides_of_folds(fold: PartNumbers, kept: Flags, groups: Ints, buffer: bool) -> list[Sides]:
    """Returns the fitting and test tiles of every fold, kept tiles only.

    Args:
        fold: fold of every tile, uint8 [n].
        kept: True for kept tiles, bool [n].
        groups: zoom-14 group of every tile, int64 [n].
        buffer: if True, groups next to a tested group are used for neither.
    """
    sides = []
    for number in np.unique(fold[kept]).tolist():
        tested = kept & (fold == number)
        near = next_to(groups, np.unique(groups[tested])) if buffer else tested
        sides.append(Sides(kept & (fold != number) & ~near, tested))
    return sides


def leakage(tokens: RegionTokens, parts: Iterable[Sides]) -> dict[str, Any]:
    """Counts the OSM elements of test tiles that are also in train or validation tiles, summed over folds.

    A token is an element in one tile; an entity is an element, counted once per fold.

    Args:
        tokens: tokens of one region.
        parts: fitting and test tiles of a split, or of each fold.

    Returns:
        JSON values: `test_tokens` and `test_entities` (numbers in test tiles), `shared_tokens` and `shared_entities`
        (numbers of these whose element is also in a fitting tile), `share` (shared_tokens / test_tokens), `kinds`
        (shared entities by kind of geometry) and `tags` (the most frequent tags of shared entities, with counts).
    """
    sums = dict.fromkeys(("test_tokens", "shared_tokens", "test_entities", "shared_entities"), 0)
    kinds = np.zeros(len(_KINDS), np.int64)
    tags = np.zeros(len(tokens.vocabulary), np.int64)
    for sides in parts:
        tested = tokens.objects_in(sides.tested)
        shared = tested & tokens.objects_in(sides.seen)
        in_test = sides.tested[tokens.tiles]
        sums["test_tokens"] += int(in_test.sum())
        sums["shared_tokens"] += int((in_test & shared[tokens.objects]).sum())
        sums["test_entities"] += int(tested.sum())
        sums["shared_entities"] += int(shared.sum())
        kinds += np.bincount(tokens.region["object/kind"][shared], minlength=len(_KINDS))
        tags += tokens.tags_of(np.flatnonzero(shared))
    most = [row for row in np.argsort(-tags, kind="stable")[:SHOWN_TAGS].tolist() if tags[row]]
    return {
        **sums,
        "share": round(sums["shared_tokens"] / sums["test_tokens"], 4) if sums["test_tokens"] else None,
        "kinds": {name: int(kinds[number]) for number, name in _KINDS.items()},
        "tags": {tokens.vocabulary.text(row): int(tags[row]) for row in most},
    }


def without_shared(store: TileStore, view: View, blocks: Ints) -> View:
    """Drops the OSM elements that are in more than one block from all tiles of a view.

    Splits and folds never divide a block, so no test tile of the returned view has an element of a train tile, for any
    seed. Train tiles lose these elements too, so that train and test tiles have the same kinds of entities. Tiles that
    lose all their entities stay in the view.

    Args:
        store: store of one or several regions; an element that is in two regions is the same element.
        view: plain or masked view of the store.
        blocks: block of every tile of the store, int64 [n]: zoom-14 groups, or tiles for a random split.
    """
    shown = np.zeros(store.n_tiles, np.bool_)
    shown[view.tiles] = True
    flags = np.repeat(shown, store.tile_piece_counts())
    flags[view.dropped_pieces] = False
    pieces = np.flatnonzero(flags)
    entities = np.unique(_entity_keys(store, pieces), return_inverse=True)[1]
    block = np.unique(blocks, return_inverse=True)[1][store.piece_tiles(pieces)]
    count = int(entities.max(initial=-1)) + 1
    first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(first, entities, block)
    np.maximum.at(last, entities, block)
    return view.drop(pieces=pieces[(first != last)[entities]], reason=SHARED)


def _entity_keys(store: TileStore, pieces: Ints) -> Ints:
    """Returns an integer key of the OSM element of every piece (the part of an element in one tile), int64.

    The key holds the OSM type in its highest bits and the OSM id below them.
    """
    found = []
    for region, first in zip(store.regions, store.piece_offsets, strict=False):
        rows = pieces[(pieces >= first) & (pieces < first + region.n_pieces)] - first
        objects = region["piece/object"][rows]
        types = region["object/osm_type"][objects].astype(np.int64)
        found.append(types << _ID_BITS | region["object/osm_id"][objects].astype(np.int64))
    return np.concatenate(found)
