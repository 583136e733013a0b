"""Entities on both sides of a split, compared with sets of OSM ids, one tile at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from batch_contents import entity_refs
from raw_tokens import Token, raw_tiles
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.leakage import SHARED, SHOWN_TAGS, Sides, leakage, sides_of_folds, sides_of_split, without_shared
from geojepa_cli.tasks.masks import masked_view
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.tokens import RegionTokens

Tiles = list[tuple[str, list[Token]]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_processed(tmp_path_factory.mktemp("leakage") / "processed.h5", seed=5, n_tiles=90)


def refs(tiles: Tiles, rows: np.ndarray) -> set[tuple[int, int]]:
    return {token.ref for row in np.flatnonzero(rows).tolist() for token in tiles[row][1]}


def random_sides(n: int, seed: int) -> Sides:
    side = np.random.default_rng(seed).integers(0, 3, n)
    return Sides(side == 0, side == 1)


def test_counts_equal_those_of_sets_of_ids(path: Path) -> None:
    tiles, tokens = raw_tiles(path), RegionTokens(RegionStore(path))
    parts = [random_sides(len(tiles), seed) for seed in range(3)]
    found = leakage(tokens, parts)
    expected: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    for sides in parts:
        shared = refs(tiles, sides.tested) & refs(tiles, sides.seen)
        tested = [token for row in np.flatnonzero(sides.tested) for token in tiles[row][1]]
        expected["test_tokens"] += len(tested)
        expected["shared_tokens"] += sum(token.ref in shared for token in tested)
        expected["test_entities"] += len(refs(tiles, sides.tested))
        expected["shared_entities"] += len(shared)
        for token in {token.ref: token for token in tested if token.ref in shared}.values():
            tags.update(f"{key}={value}" for key, value in token.tags.items())
    assert {name: found[name] for name in expected} == expected
    assert found["share"] == round(expected["shared_tokens"] / expected["test_tokens"], 4) > 0
    assert sum(found["kinds"].values()) == expected["shared_entities"]
    assert len(found["tags"]) == SHOWN_TAGS
    assert found["tags"].items() <= tags.items()
    assert list(found["tags"].values()) == sorted(tags.values(), reverse=True)[:SHOWN_TAGS]


def test_nothing_is_shared_where_one_side_is_empty(path: Path) -> None:
    tokens = RegionTokens(RegionStore(path))
    every, none = np.ones(tokens.n_tiles, bool), np.zeros(tokens.n_tiles, bool)
    assert leakage(tokens, [Sides(every, none)])["share"] is None
    assert leakage(tokens, [Sides(none, every)])["shared_entities"] == 0
    assert leakage(tokens, [Sides(every, every)])["share"] == 1.0


def test_the_sides_of_a_split_leave_out_the_buffer_and_what_is_not_kept() -> None:
    split = np.array([0, 1, 2, 3, 2], np.uint8)
    (sides,) = sides_of_split(split, np.array([1, 1, 1, 1, 0], bool))
    assert sides.seen.tolist() == [True, True, False, False, False]
    assert sides.tested.tolist() == [False, False, True, False, False]


def test_the_sides_of_folds_leave_out_neighbours_with_a_buffer() -> None:
    groups = np.array([(100 + x) << 32 | 7 for x in range(5)])
    fold = np.array([0, 1, 1, 2, 1], np.uint8)
    kept = np.array([1, 1, 1, 1, 0], bool)
    plain = sides_of_folds(fold, kept, groups, buffer=False)
    assert plain[0].seen.tolist() == [False, True, True, True, False]
    buffered = sides_of_folds(fold, kept, groups, buffer=True)
    assert [np.flatnonzero(sides.tested).tolist() for sides in buffered] == [[0], [1, 2], [3]]
    assert [np.flatnonzero(sides.seen).tolist() for sides in buffered] == [[2, 3], [], [0, 1]]


@pytest.mark.parametrize("masked", [False, True])
def test_a_view_without_shared_entities_has_none_in_two_blocks_and_keeps_all_others(
    path: Path, tmp_path: Path, masked: bool
) -> None:
    # The second region is a copy of the first: its elements are the same, in other rows and in other blocks.
    store = TileStore.open([path, write_synthetic_processed(tmp_path / "copy.h5", seed=5, n_tiles=90)])
    views = []
    for region in store.regions:
        view = View.default(TileStore([region]), min_entities=1)
        views.append(masked_view(RegionTokens(region), find_task("building_count"), view) if masked else view)
    view = View.concat(views)
    blocks = np.random.default_rng(3).integers(0, 4, store.n_tiles) + np.repeat([0, 4], 90)
    blocks[90:] = np.where(np.arange(90) < 60, blocks[:90], blocks[90:])  # most copies are in the block of the original
    found = without_shared(store, view, blocks)

    def shown(view: View) -> list[tuple[int, str, int]]:
        batch = store.read(view, view.tiles)
        counts = np.diff(batch.cu_seqlens.numpy())
        tiles = np.repeat(view.tiles, counts).tolist()
        return list(zip(batch.piece_rows.tolist(), entity_refs(batch), blocks[tiles].tolist(), strict=True))

    before, blocks_of = shown(view), defaultdict(set)
    for _, ref, block in before:
        blocks_of[ref].add(block)
    expected = [(piece, ref, block) for piece, ref, block in before if len(blocks_of[ref]) == 1]
    assert shown(found) == expected
    assert found.counts[SHARED] == len(before) - len(expected) > 0 < len(expected)
    np.testing.assert_array_equal(found.tiles, view.tiles)
