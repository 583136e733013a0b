"""Entities that stand on both sides of a split: a road or a lake crosses tiles, and so tells a model of test tiles.

Sides are compared by OSM type and id. What may be learned from counts as seen: train tiles, and validation tiles,
which heads are chosen on and the linear one is fitted to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from geojepa_cli.store import schema
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.splits import BUFFER, SPLITS, Splits, next_to
from geojepa_cli.tasks.tokens import Ints, RegionTokens

SHARED = "entities that train tiles show too"
SHOWN_TAGS = 4
_KINDS = {number: name for name, number in schema.KIND.items()}
_ID_BITS = 60


class Sides(NamedTuple):
    """The tiles that are learned from and those that are tested; bool [n] each."""

    seen: Flags
    tested: Flags


def sides_of_split(split: Splits, kept: Flags) -> list[Sides]:
    """The two sides of a split of the kept tiles."""
    test = split == SPLITS.index("test")
    return [Sides(kept & ~test & (split != BUFFER), kept & test)]


def sides_of_folds(fold: Splits, kept: Flags, groups: Ints, buffer: bool) -> list[Sides]:
    """The two sides of every fold of the kept tiles; with a buffer the groups next to a tested one are on neither."""
    sides = []
    for number in np.unique(fold[kept]).tolist():
        tested = kept & (fold == number)
        near = next_to(groups, np.unique(groups[tested])) if buffer else tested
        sides.append(Sides(kept & (fold != number) & ~near, tested))
    return sides


def leakage(tokens: RegionTokens, parts: Iterable[Sides]) -> dict[str, Any]:
    """What both sides show of the same entities, added up over folds; plain JSON values.

    Args:
        tokens: of one region.
        parts: the sides of a split, or of each fold.

    Returns:
        `test_tokens` and `shared_tokens` of them, the `share`; `test_entities` and `shared_entities` (each counted
        once a fold), the latter by kind, and the tags that most of them have with their number.
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


def without_shared(store: TileStore, view: View, seen: Ints, tested: Ints) -> View:
    """The view without those entities of the tested tiles that the seen tiles show too, by OSM type and id.

    For figures that do not rest on entities which train and test share. Tiles that lose all their entities stay.

    Args:
        store: one or several regions; an entity that two of them have is one.
        view: plain or masked.
        seen, tested: tile rows, int64.
    """
    pieces, refs = _shown(store, view, seen), _shown(store, view, tested)
    shared = np.isin(_entities(store, refs), _entities(store, pieces))
    return view.drop(pieces=refs[shared], reason=SHARED)


def _shown(store: TileStore, view: View, tiles: Ints) -> Ints:
    """The pieces that a view shows of some tiles, int64."""
    wanted = np.zeros(store.n_tiles, np.bool_)
    wanted[np.intersect1d(tiles, view.tiles)] = True
    pieces = np.repeat(wanted, store.tile_piece_counts())
    pieces[view.dropped_pieces] = False
    return np.flatnonzero(pieces)


def _entities(store: TileStore, pieces: Ints) -> Ints:
    """One number for the OSM type and id of every piece, int64."""
    found = []
    for region, first in zip(store.regions, store.piece_offsets, strict=False):
        rows = pieces[(pieces >= first) & (pieces < first + region.n_pieces)] - first
        objects = region["piece/object"][rows]
        types = region["object/osm_type"][objects].astype(np.int64)
        found.append(types << _ID_BITS | region["object/osm_id"][objects].astype(np.int64))
    return np.concatenate(found)
