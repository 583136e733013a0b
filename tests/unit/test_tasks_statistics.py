"""Statistics of a task's tiles compared with a slow count over raw tags."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from raw_tokens import raw_tiles
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.statistics import commonest_tags, entities_per_tile, label_histogram
from geojepa_cli.tasks.tokens import RegionTokens


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_processed(tmp_path_factory.mktemp("statistics") / "processed.h5", seed=2, n_tiles=70)


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return np.random.default_rng(0).random(70) < 0.6


def test_entities_per_tile_are_those_of_the_chosen_tiles(path: Path, tiles: np.ndarray) -> None:
    sizes = [len(tokens) for (_, tokens), wanted in zip(raw_tiles(path), tiles, strict=True) if wanted]
    found = entities_per_tile(RegionTokens(RegionStore(path)), tiles)
    assert (found["tiles"], found["fewest"], found["most"]) == (len(sizes), min(sizes), max(sizes))
    assert found["mean"] == round(statistics.fmean(sizes), 4)
    assert found["median"] == statistics.median(sizes)
    assert [count for _, count in found["histogram"][:3]] == [
        sum(low < n <= high for n in sizes) for low, high in ((-1, 5), (5, 10), (10, 20))
    ]
    assert found["histogram"][-1] == [None, 0]


def test_the_commonest_tags_are_counted_by_entity_and_by_tile(path: Path, tiles: np.ndarray) -> None:
    entities: Counter[str] = Counter()
    where: dict[str, set[int]] = {}
    for row, (_, tokens) in enumerate(raw_tiles(path)):
        for token in tokens if tiles[row] else []:
            for key, value in token.tags.items():
                entities[f"{key}={value}"] += 1
                where.setdefault(f"{key}={value}", set()).add(row)
    found = commonest_tags(RegionTokens(RegionStore(path)), tiles, top=8)
    assert [entry["entities"] for entry in found] == sorted(entities.values(), reverse=True)[:8]
    for entry in found:
        assert (entry["entities"], entry["tiles"]) == (entities[entry["tag"]], len(where[entry["tag"]]))


def test_statistics_of_no_tile_are_empty(path: Path) -> None:
    tokens, none = RegionTokens(RegionStore(path)), np.zeros(70, bool)
    assert entities_per_tile(tokens, none)["most"] is None
    assert commonest_tags(tokens, none) == []
    assert label_histogram(np.empty(0, np.float32), find_task("bridge"))["mean"] is None


def test_a_label_falls_into_the_bin_that_ends_at_it() -> None:
    found = label_histogram(np.array([0, 0, 1, 2, 3, 201], np.float32), find_task("building_count"))
    assert found["histogram"][:4] == [[0.0, 2], [1.0, 1], [2.0, 1], [5.0, 1]]
    assert found["histogram"][-1] == [None, 1]


def test_tiles_without_any_road_have_a_separate_bin() -> None:
    found = label_histogram(np.array([-100, -100, 7, 20, 50], np.float32), find_task("max_speed"))
    assert found["histogram"][:3] == [[-100.0, 2], [0.0, 0], [20.0, 2]]
    assert sum(count for _, count in found["histogram"]) == 5
