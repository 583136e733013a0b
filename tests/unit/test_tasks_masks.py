"""Masked views compared with a slow reading of what must be hidden, on random tiles, read as batches as models do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_tokens import TASKS, goes_whole, leaks, raw_tiles, spans_hidden
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.masks import BARE, SIGNS, SPANS, WHOLE, masked_entities, masked_tags, masked_view
from geojepa_cli.tasks.spec import TaskSpec, find_task
from geojepa_cli.tasks.tokens import RegionTokens


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_processed(tmp_path_factory.mktemp("masks") / "processed.h5", seed=5, n_tiles=80)


@pytest.fixture(scope="module")
def store(path: Path) -> TileStore:
    return TileStore.open([path], names=["city"])


def batch_tokens(store: TileStore, view: View) -> dict[int, set[tuple[str, str]]]:
    """Tags of every token that a model would see, by piece."""
    batch = store.read(view, view.tiles)
    ends = batch.tag_offsets.tolist()
    tags = [store.tag(row) for row in batch.tag_ids.tolist()]
    return {p: set(tags[a:b]) for p, a, b in zip(batch.piece_rows.tolist(), ends, ends[1:], strict=False)}


@pytest.mark.parametrize("task", TASKS)
def test_a_masked_batch_shows_what_a_slow_mask_leaves_and_nothing_else(store: TileStore, path: Path, task: str) -> None:
    plain = View.default(store)
    masked = masked_view(RegionTokens(store.regions[0]), find_task(task), plain)
    assert masked.tiles.tolist() == plain.tiles.tolist()
    expected = {}
    for tile, (_, tokens) in enumerate(raw_tiles(path)):
        for token in tokens if tile in plain.tiles else []:
            left = {(k, v) for k, v in token.tags.items() if not leaks(task, k, v)}
            if left and not goes_whole(task, token.tags) and not spans_hidden(task, token):
                expected[token.piece] = left
    assert batch_tokens(store, masked) == expected
    assert expected != batch_tokens(store, plain)


@pytest.mark.parametrize("task", TASKS)
def test_drops_are_counted_by_reason(store: TileStore, task: str) -> None:
    plain = View.default(store)
    masked = masked_view(RegionTokens(store.regions[0]), find_task(task), plain)
    gone = len(batch_tokens(store, plain)) - len(batch_tokens(store, masked))
    assert sum(masked.counts[reason] for reason in (WHOLE, SIGNS, BARE, SPANS)) == gone
    assert gone > 0 or task == "max_speed"  # here every limit is on an object with another tag
    assert (masked.counts[WHOLE] > 0) == (task == "building_count")


def test_highway_stays_and_layer_is_hidden_for_car_bridges(store: TileStore) -> None:
    dropped = masked_tags(RegionTokens(store.regions[0]), find_task("car_bridge"))
    keys = {store.tag(int(row))[0] for row in np.flatnonzero(dropped)}
    assert keys == {"bridge", "layer", "man_made"}
    assert {store.tag(int(row)) for row in np.flatnonzero(dropped) if store.tag(int(row))[0] == "man_made"} == {
        ("man_made", "bridge")
    }


def test_points_that_are_only_a_signal_are_hidden_whole_and_others_stay(store: TileStore) -> None:
    spec = find_task("traffic_signals")
    with_name = TaskSpec.model_validate({**spec.resolved(), "mask": {**spec.resolved()["mask"], "signs": ["name"]}})
    tokens = RegionTokens(store.regions[0])
    signs = masked_entities(tokens, with_name)[SIGNS]
    region = store.regions[0]
    for row in range(region.n_objects):
        first, last = region["object/tags"][row : row + 2].tolist()
        tags = {store.tag(v) for v in region["tag/vocab"][first:last].tolist()}
        counted = {t for t in tags if t in {("highway", "traffic_signals"), ("crossing:signals", "yes")}}
        rest = {key for key, _ in tags - counted} - {"name", "crossing:signals"}
        assert signs[row] == (region["object/kind"][row] == 0 and bool(counted) and not rest)
    assert signs.any()


def test_masks_hide_tags_with_any_value(store: TileStore) -> None:
    dropped = masked_tags(RegionTokens(store.regions[0]), find_task("traffic_signals"))
    values = {store.tag(int(row)) for row in np.flatnonzero(dropped)}
    assert values == {("crossing:signals", "yes"), ("crossing:signals", "no"), ("highway", "traffic_signals")}


@pytest.mark.parametrize(
    ("task", "gone", "stays"),
    [
        ("max_speed", ["source:maxspeed=sign", "maxspeed:type=US:urban", "zone:maxspeed=DE:30"], ["surface=asphalt"]),
        ("bridge", ["bridge:structure=arch", "layer=1", "man_made=bridge", "bridge=no"], ["highway=primary"]),
        ("car_bridge", ["bridge:structure=arch", "layer=-1"], ["highway=primary", "tunnel=yes"]),
        ("building_count", ["building:levels=2", "building_1=yes", "roof:shape=flat"], ["addr:housenumber=3"]),
        (
            "traffic_signals",
            ["traffic_signals:sound=yes", "crossing=traffic_signals;zebra", "crossing=toucan"],
            ["highway=crossing", "crossing=zebra", "tactile_paving=yes"],
        ),
    ],
)
def test_tags_that_give_the_label_away_are_masked_too(task: str, gone: list[str], stays: list[str]) -> None:
    from geojepa_cli.tasks.rules import RuleVocabulary

    spec = find_task(task)
    pairs = [text.split("=", 1) for text in (*gone, *stays)]
    vocabulary = RuleVocabulary([key for key, _ in pairs], [value for _, value in pairs])
    matches = vocabulary.matches((*spec.label.tags, *spec.mask.tags), whatever_value=True)
    assert matches.tolist() == [True] * len(gone) + [False] * len(stays)
