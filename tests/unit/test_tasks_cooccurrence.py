"""The strongest remaining tag: scores compared with scikit-learn and SciPy, features with a slow count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_tokens import leaks, raw_tiles, spans_hidden
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.cooccurrence import Column, auroc, spearman, strongest_tags, tag_features
from geojepa_cli.tasks.masks import masked_view
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.tokens import RegionTokens


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_processed(tmp_path_factory.mktemp("tags") / "processed.h5", seed=9, n_tiles=80)


def sparse(dense: np.ndarray) -> Column:
    rows, columns = np.nonzero(dense)
    names = [f"c{i}=*" for i in range(dense.shape[1])]
    return Column(rows, columns, dense[rows, columns].astype(float), names)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(1, 5))
def test_scores_equal_those_of_scikit_learn_and_scipy(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.7, (n, width))
    binary = rng.integers(0, 2, n).astype(float)
    binary[:2] = [0, 1]
    real = rng.integers(-3, 4, n).astype(float)
    real[:2] = [-9, 9]
    np.testing.assert_allclose(auroc(sparse(dense), binary), [roc_auc_score(binary, c) for c in dense.T])
    for column, found in zip(dense.T, spearman(sparse(dense), real), strict=True):
        expected = spearmanr(column, real).statistic if len(set(column.tolist())) > 1 else 0.0
        assert found == pytest.approx(expected, abs=1e-12)


def test_features_count_entities_of_the_masked_view_by_tile(path: Path) -> None:
    store = TileStore.open([path], names=["city"])
    tokens = RegionTokens(store.regions[0])
    view = masked_view(tokens, find_task("bridge"), View.default(store))
    tiles = view.tiles[::2]
    pairs, keys = tag_features(tokens, view, tiles)
    expected: Counter[tuple[int, str]] = Counter()
    slow = raw_tiles(path)
    for row, tile in enumerate(tiles.tolist()):
        for token in slow[tile][1]:
            for key, value in token.tags.items():
                if not leaks("bridge", key, value) and not spans_hidden("bridge", token):
                    expected[row, f"{key}={value}"] += 1
    found = {(r, pairs.names[c]): int(v) for r, c, v in zip(pairs.rows, pairs.columns, pairs.values, strict=True)}
    assert found == expected
    by_key: Counter[tuple[int, str]] = Counter()
    for (row, text), count in expected.items():
        by_key[row, text.split("=")[0] + "=*"] += count
    assert {(r, keys.names[c]): int(v) for r, c, v in zip(keys.rows, keys.columns, keys.values, strict=True)} == by_key


def test_the_tag_that_gives_the_label_away_is_found_in_the_plain_view_and_not_in_the_masked_one(path: Path) -> None:
    store = TileStore.open([path], names=["city"])
    tokens = RegionTokens(store.regions[0])
    plain = View.default(store)
    masked = masked_view(tokens, find_task("traffic_signals"), plain)
    slow = raw_tiles(path)
    signals = np.array(
        [sum("traffic_signals" in token.tags.values() for token in slow[tile][1]) for tile in plain.tiles], float
    )
    best = strongest_tags(tokens, plain, plain.tiles, signals, "spearman")[0]
    assert (best.tag, best.feature, round(best.score, 9)) == ("highway=traffic_signals", "count", 1.0)
    names = [found.tag for found in strongest_tags(tokens, masked, plain.tiles, signals, "spearman", top=500)]
    assert names
    assert not any(leaks("traffic_signals", *name.split("=", 1)) for name in names)


def test_equal_labels_or_few_tiles_give_no_score(path: Path) -> None:
    store = TileStore.open([path], names=["city"])
    tokens, view = RegionTokens(store.regions[0]), View.default(store)
    assert strongest_tags(tokens, view, view.tiles, np.zeros(len(view.tiles)), "auroc") == []
    assert strongest_tags(tokens, view, view.tiles[:0], np.zeros(0), "auroc") == []
    alternating = np.arange(19.0) % 2
    assert strongest_tags(tokens, view, view.tiles[:19], alternating, "auroc") == []
    assert strongest_tags(tokens, view, view.tiles[:20], np.arange(20.0) % 2, "auroc")
