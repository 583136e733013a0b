"""Association of tags with a label: compared with scikit-learn, written-out lifts and slow loops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_tokens import Tags, goes_whole, has_bridge, is_building, leaks, raw_tiles, spans_hidden
from sklearn.metrics import mutual_info_score
from synthetic_store import write_synthetic_processed

from geojepa_cli.tasks.analysis import analyze
from geojepa_cli.tasks.association import Association, Occurrences, Pool, information_bits, pair_lifts, pool
from geojepa_cli.tasks.build import RegionData, task_columns
from geojepa_cli.tasks.labels import counted_tokens
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.splits import SplitRule

COUNTS = {"bridge": has_bridge, "building_count": is_building}


@dataclass
class Slow:
    """An entity of a kept tile, from the raw file."""

    tile: int
    tags: Tags
    counts: bool
    left: Tags  # what the masked variant shows of it


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> list[RegionData]:
    folder = tmp_path_factory.mktemp("association")
    paths = [write_synthetic_processed(folder / f"{i}.h5", seed=i, n_tiles=250, mean_entities=5.0) for i in (4, 8)]
    return [RegionData.open(path, f"r{i}") for i, path in enumerate(paths)]


def slow_reading(regions: list[RegionData], task: str) -> tuple[list[Slow], np.ndarray]:
    """Entities and labels of the kept tiles, tile by tile."""
    entities: list[Slow] = []
    labels: list[float] = []
    for data in regions:
        columns = task_columns(data, find_task(task), SplitRule())
        for row, (_, tokens) in enumerate(raw_tiles(data.store.regions[0].path)):
            if not columns.kept[row]:
                continue
            for token in tokens:
                gone = goes_whole(task, token.tags) or spans_hidden(task, token)
                left = {} if gone else {k: v for k, v in token.tags.items() if not leaks(task, k, v)}
                entities.append(Slow(len(labels), token.tags, COUNTS[task](token.tags), left))
            labels.append(float(columns.labels.values[row]))
    return entities, np.array(labels)


def has(tags: Tags, feature: str) -> bool:
    key, _, value = feature.partition("=")
    return key in tags and value in ("*", tags[key])


@pytest.mark.parametrize("task", sorted(COUNTS))
def test_associations_within_entities_equal_those_of_scikit_learn(regions: list[RegionData], task: str) -> None:
    entities, _ = slow_reading(regions, task)
    counts = np.array([entity.counts for entity in entities])
    found = analyze(regions, find_task(task), SplitRule()).within
    assert len(found) > 20
    for one in found:
        present = np.array([has(entity.tags, one.tag) for entity in entities])
        assert (one.seen, one.both) == (present.sum(), (present & counts).sum())
        assert one.bits == pytest.approx(mutual_info_score(present, counts) / math.log(2), abs=1e-9)
        assert one.lift == pytest.approx((present & counts).mean() / (present.mean() * counts.mean()))
        left = sum(has(entity.left, one.tag) for entity in entities)
        assert (one.entities, one.left) == (present.sum(), left)
    assert [one.bits for one in found] == sorted((one.bits for one in found), reverse=True)


@pytest.mark.parametrize("task", sorted(COUNTS))
def test_associations_between_entities_equal_those_of_scikit_learn(regions: list[RegionData], task: str) -> None:
    entities, labels = slow_reading(regions, task)
    high = labels > np.median(labels) if np.median(labels) < labels.max() else labels == labels.max()
    classes = np.searchsorted(np.unique(np.quantile(labels, [0.25, 0.5, 0.75])), labels)
    found = analyze(regions, find_task(task), SplitRule()).between
    assert len(found) > 20
    for one in found:
        others = [entity for entity in entities if not entity.counts and has(entity.tags, one.tag)]
        present = np.zeros(len(labels), bool)
        present[[entity.tile for entity in others]] = True
        assert (one.seen, one.both) == (present.sum(), (present & high).sum())
        assert one.bits == pytest.approx(mutual_info_score(present, classes) / math.log(2), abs=1e-9)
        assert one.lift == pytest.approx((present & high).mean() / (present.mean() * high.mean()))
        left = sum(has(entity.left, one.tag) for entity in others)
        assert (one.entities, one.left) == (len(others), left)


def test_tags_that_the_mask_hides_are_marked(regions: list[RegionData]) -> None:
    found = {one.tag: one for one in analyze(regions, find_task("bridge"), SplitRule()).within}
    assert found["bridge=yes"].mask == found["layer=1"].mask == found["man_made=bridge"].mask == "hidden"
    assert found["bridge=yes"].lift == max(one.lift for one in found.values()) > 1
    # relations over hidden entities are hidden too
    assert found["highway=primary"].left > 0.9 * found["highway=primary"].entities
    assert found["man_made=*"].mask == "partly"
    assert Association("a=b", 9, 9, 1.0, 0.0, 1000, 991).mask == "left"


def test_a_key_with_one_value_is_listed_once(regions: list[RegionData]) -> None:
    tags = [one.tag for one in analyze(regions, find_task("bridge"), SplitRule()).within]
    assert "waterway=river" in tags and "waterway=*" not in tags
    assert "building=*" in tags


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 4))
def test_information_equals_that_of_scikit_learn_on_random_tables(seed: int, n: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    present, classes = rng.random((3, n)) < rng.random((3, 1)), rng.integers(0, n_classes, n)
    table = np.array([[(row & (classes == c)).sum() for c in range(n_classes)] for row in present])
    expected = [mutual_info_score(row, classes) / math.log(2) for row in present]
    found = information_bits(table, np.bincount(classes, minlength=n_classes))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_pairs_on_one_entity_and_on_two_entities_of_a_tile_equal_slow_loops(regions: list[RegionData]) -> None:
    task, tags = "bridge", ["highway=*", "building=yes", "layer=1", "man_made=bridge", "waterway=river"]
    entities, labels = slow_reading(regions, task)
    pooled = _pooled(regions, task)
    found = pair_lifts(pooled, tags)
    by_tile: dict[int, list[Slow]] = {}
    for entity in entities:
        by_tile.setdefault(entity.tile, []).append(entity)
    n, t = len(entities), len(labels)
    for a, first in enumerate(tags):
        one = sum(has(e.tags, first) for e in entities)
        count = sum(e.counts for e in entities)
        both = sum(has(e.tags, first) and e.counts for e in entities)
        assert found.same_label[a] == pytest.approx(both * n / (one * count))
        for b, second in enumerate(tags):
            both = sum(has(e.tags, first) and has(e.tags, second) for e in entities)
            other = sum(has(e.tags, second) for e in entities)
            assert found.same[a, b] == pytest.approx(both * n / (one * other))
            tiles_a, tiles_b, apart = 0, 0, 0
            for here in by_tile.values():
                with_a = [i for i, e in enumerate(here) if has(e.tags, first)]
                with_b = [i for i, e in enumerate(here) if has(e.tags, second)]
                tiles_a, tiles_b = tiles_a + bool(with_a), tiles_b + bool(with_b)
                apart += any(i != j for i in with_a for j in with_b)
            assert found.apart[a, b] == pytest.approx(apart * t / (tiles_a * tiles_b))
    between = {one.tag: one.lift for one in analyze(regions, find_task(task), SplitRule()).between}
    for place, tag in enumerate(tags):
        assert tag not in between or found.apart_label[place] == pytest.approx(between[tag])


def test_few_tiles_or_equal_labels_give_no_association(tmp_path: Path) -> None:
    few = RegionData.open(write_synthetic_processed(tmp_path / "few.h5", n_tiles=15), "few")
    found = analyze([few], find_task("building_count"), SplitRule())
    assert found.within == found.between == []
    assert found.as_json()["high_above"] is None


def test_plots_of_the_same_task_are_the_same_bytes(regions: list[RegionData], tmp_path: Path) -> None:
    from PIL import Image

    from geojepa_cli.evaluate.plots.tasks import plot_cooccurrence, plot_statistics

    for number in range(2):
        analysis = analyze(regions, find_task("building_count"), SplitRule(buffer=True))
        plot_cooccurrence(analysis, "t", tmp_path / f"map{number}.png")
        plot_statistics(analysis.reports, "t", tmp_path / f"statistics{number}.png")
    for name in ("map", "statistics"):
        first, second = ((tmp_path / f"{name}{number}.png").read_bytes() for number in range(2))
        assert first == second
        with Image.open(tmp_path / f"{name}0.png") as image:
            assert image.width > 800
            assert not set(image.info) - {"dpi"}  # no date, no version


def _pooled(regions: list[RegionData], task: str) -> Pool:
    spec = find_task(task)
    found = []
    for data in regions:
        columns = task_columns(data, spec, SplitRule())
        tiles = np.flatnonzero(columns.kept)
        shown = np.ones(len(data.tokens.tiles), bool)
        counted = counted_tokens(data.tokens, spec.label)
        labels = columns.labels.values[tiles].astype(float)
        found.append(
            Occurrences(data.tokens, labels, tiles, counted, shown, np.zeros(len(data.tokens.vocabulary), bool))
        )
    return pool(found)
