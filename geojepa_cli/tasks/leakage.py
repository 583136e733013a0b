"""Measures leakage: OSM elements that lie in both training and test tiles.

A road or a lake may cross several tiles. If it lies in both training and test tiles, heads are fitted to a part of the
test data. Elements are compared by OSM type and id. Validation tiles count as training tiles: the linear head is fitted
to them, too, and the MLP uses them for early stopping.
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
    """Training and test tiles of one split or fold of n tiles.

    Attributes:
        seen: True for tiles to which prediction heads are fitted (training and validation tiles), bool [n].
        tested: True for tiles on which heads are tested, bool [n].
    """

    seen: Flags
    tested: Flags


def sides_of_split(split: PartNumbers, kept: Flags) -> list[Sides]:
    """Returns a list of one `Sides`: tiles to which prediction heads are fitted, and tiles on which they are tested.

    Args:
        split: split of every tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer (not used).
        kept: False for tiles to leave out, bool [n]: tiles without a label, tiles excluded by an option of
            `build-tasks`, and tiles with label 0 that were removed to reduce their number (thinning).
    """
    test = split == SPLITS.index("test")
    return [Sides(kept & ~test & (split != BUFFER), kept & test)]


def sides_of_folds(fold: PartNumbers, kept: Flags, groups: Ints, buffer: bool) -> list[Sides]:
    """Returns for every fold the tiles to which prediction heads are fitted, and the tiles on which they are tested.

    Args:
        fold: fold of every tile, uint8 [n].
        kept: False for tiles to leave out, bool [n]: tiles without a label, tiles excluded by an option of
            `build-tasks`, and tiles with label 0 that were removed to reduce their number (thinning).
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        buffer: True if heads are not fitted to tiles whose group is next to a tested group.
    """
    sides = []
    for number in np.unique(fold[kept]).tolist():
        tested = kept & (fold == number)
        near = next_to(groups, np.unique(groups[tested])) if buffer else tested
        sides.append(Sides(kept & (fold != number) & ~near, tested))
    return sides


def leakage(tokens: RegionTokens, parts: Iterable[Sides]) -> dict[str, Any]:
    """Counts the OSM elements of test tiles that are also in training or validation tiles.

    A token is the part of an element in one tile. In the names of the counts, `entities` are whole elements. If
    there are folds, the counts of all folds are added.

    Args:
        tokens: tokens of one region.
        parts: training and test tiles of a split, or of each fold. Validation tiles count as training tiles.

    Returns:
        A dict for JSON:

        - `test_tokens`, `test_entities`: numbers of tokens and whole elements in test tiles.
        - `shared_tokens`, `shared_entities`: how many of these belong to an element that is also in a training tile.
        - `share`: `shared_tokens` divided by `test_tokens`; None if there are no test tokens.
        - `kinds`: number of shared elements by kind of geometry.
        - `tags`: most frequent tags of shared elements, with the number of shared elements that have the tag.
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
    """Removes from a selection the OSM elements that lie in more than one block.

    A block is a set of tiles that are always in the same split or fold. So no remaining element lies in both training
    and test tiles, whatever the seed of the split is. The elements are hidden in all tiles, so that training and test
    tiles have the same kinds of entities. Tiles that lose all their entities stay selected.

    Args:
        store: dataset with one or several regions. An OSM element that lies in two regions is treated as one element.
        view: selection of tiles, tags and entities of the dataset.
        blocks: number of the block of every tile, int64 [n]. The block is the zoom-14 tile that contains the tile or,
            for a random split, the tile itself.

    Returns:
        A new selection, in which the elements are hidden too.
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
    """Returns a number for each piece (part of an OSM element in one tile), int64.

    Pieces of the same element have equal numbers. The highest bits are the OSM type, the other bits are the OSM id.
    """
    found = []
    for region, first in zip(store.regions, store.piece_offsets, strict=False):
        rows = pieces[(pieces >= first) & (pieces < first + region.n_pieces)] - first
        objects = region["piece/object"][rows]
        types = region["object/osm_type"][objects].astype(np.int64)
        found.append(types << _ID_BITS | region["object/osm_id"][objects].astype(np.int64))
    return np.concatenate(found)
