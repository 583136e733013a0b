"""Parts of `review`: classes of tags, rows, features, heads and scores, on planted entities and by slow loops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from planted_entities import CLASSES, write_planted

from geojepa_cli.evaluate.entity_parts import make_parts
from geojepa_cli.evaluate.review_features import Surroundings, class_counts, near_rows, own_tags, simple_features
from geojepa_cli.evaluate.review_heads import MIN_CLASS, out_of_fold, pool_rare, pooled, with_prior
from geojepa_cli.evaluate.review_scores import RARITY, surprise
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.review_rows import ReviewRows, find_rows, tag_classes
from geojepa_cli.tasks.review_spec import generic_review, packed_reviews
from geojepa_cli.tasks.rules import RuleVocabulary
from geojepa_cli.tasks.tokens import RegionTokens


class Planted:
    """A planted region and its rows of a family."""

    def __init__(self, path: Path, decides: str = "shape") -> None:
        self.store = TileStore.open([write_planted(path, decides)], names=["town"])
        self.tokens = RegionTokens(self.store.regions[0])

    def rows(self, name: str = "building") -> ReviewRows:
        return find_rows(self.store, self.tokens, View.default(self.store), packed_reviews()[name])


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "processed.h5")


def test_definitions_group_values_and_keep_the_others_apart() -> None:
    tags = [("building", "detached"), ("building", "garage"), ("building", "yes"), ("building", "silo"), ("shop", "x")]
    names, found = tag_classes(RuleVocabulary(*zip(*tags, strict=True)), packed_reviews()["building"])
    assert [names[one] if one >= 0 else None for one in found.tolist()] == [
        "house",
        "outbuilding",
        None,
        "silo",
        None,
        None,
    ]
    names, found = tag_classes(RuleVocabulary(["maxspeed"] * 3, ["30 mph", "50", "none"]), packed_reviews()["maxspeed"])
    assert [names[one] if one >= 0 else None for one in found[:3].tolist()] == ["40 to 50 km/h"] * 2 + [None]


def test_a_key_without_a_definition_has_a_class_for_each_value() -> None:
    spec = generic_review("railway")
    names, found = tag_classes(RuleVocabulary(["railway"] * 3, ["rail", "tram", "yes"]), spec)
    assert names == ["rail", "tram"] and found.tolist() == [0, 1, -1, -1]
    assert {rule.key for rule in spec.hidden} == {"railway", "railway:*", "*:railway"}


def test_an_area_with_several_keys_is_what_its_first_key_says(planted: Planted) -> None:
    rows = planted.rows("area")
    assert rows.classes == ("building",) and len(rows) == len(planted.rows())


def test_rows_have_the_largest_piece_of_each_element_once(planted: Planted) -> None:
    rows, region = planted.rows(), planted.tokens.region
    assert len(np.unique(rows.objects)) == len(rows) and (np.diff(rows.pieces) > 0).all()
    assert np.array_equal(region["piece/object"][rows.pieces], rows.objects)
    texts = [planted.tokens.vocabulary.text(tag) for tag in rows.tags.tolist()]
    counted = Counter(text.partition("=")[2] for text in texts)
    assert counted.keys() == set(CLASSES) and not rows.several_tiles.any()
    by_class = {"house": "house", "church": "religious", "garage": "outbuilding"}
    assert [rows.classes[one] for one in rows.labels.tolist()] == [by_class[t.partition("=")[2]] for t in texts]
    assert sorted(np.bincount(rows.labels).tolist(), reverse=True) == np.bincount(rows.labels).tolist()


def test_nearest_rows_equal_a_slow_search(planted: Planted) -> None:
    rows, around = planted.rows(), Surroundings(planted.tokens)
    near = near_rows(around, rows)
    centres = around.centres[around.token_of_piece[rows.pieces]]
    for row in range(0, len(rows), 17):
        distances = np.hypot(*(centres - centres[row]).T)
        distances[row] = np.inf
        assert np.allclose(near.metres[row], np.sort(distances)[:20])
        assert np.allclose(distances[near.rows[row]], near.metres[row]) and row not in near.rows[row]


def test_shared_vertices_equal_a_slow_count(planted: Planted) -> None:
    around, rows = Surroundings(planted.tokens), planted.rows()
    owner = np.array([0, 0, 1, 1, 2, 3], np.int64)
    vertex = np.array([0, 1, 0, 1, 1, 2], np.int64)
    around.__dict__["vertices"] = (owner, vertex)  # objects 0 and 1 share two vertices, 2 shares one with both
    labels = np.full(planted.tokens.n_objects, -1, np.int64)
    labels[:4] = [0, 1, 1, 0]
    assert around.shared_vertices(np.array([0, 1, 2, 3]), labels, 2).tolist() == [[0, 3], [2, 1], [1, 1], [0, 0]]
    assert len(rows) > 4


def test_hidden_tags_are_no_features(planted: Planted) -> None:
    rows = planted.rows()
    assert own_tags(planted.tokens, rows).shape == (len(rows), 0)  # a planted building has no other tag
    around = Surroundings(planted.tokens)
    near = near_rows(around, rows)
    x = simple_features(around, rows, near, np.zeros((len(rows), 14), np.float32))
    assert x.shape[0] == len(rows) and np.isfinite(x).all()


def test_an_entitys_own_class_changes_no_feature_and_no_prediction_of_it(planted: Planted) -> None:
    rows, around = planted.rows(), Surroundings(planted.tokens)
    near = near_rows(around, rows)
    x = class_counts(near.rows, rows.labels, 3).astype(np.float32)
    shape = np.random.default_rng(0).normal(size=(len(rows), 3)).astype(np.float32) + rows.labels[:, None]
    parts, order = make_parts(rows.groups, None, 0), np.random.default_rng(1).random(len(rows))

    def predict(labels: np.ndarray) -> np.ndarray:
        counted = class_counts(near.rows, labels, 3).astype(np.float32)
        vectors = {"v": np.concatenate([counted, shape], 1)}
        return out_of_fold(vectors, pool_rare(labels), parts, order, 2, lambda done, total: None)["v"]

    before = predict(rows.labels)
    row = 5
    changed = rows.labels.copy()
    changed[row] = (changed[row] + 1) % 3
    assert np.array_equal(class_counts(near.rows, changed, 3)[row], x[row])
    assert np.array_equal(predict(changed)[row], before[row])
    assert (before.argmax(1) == rows.labels).mean() > 0.6


def test_the_limit_of_rows_does_not_change_the_shares_of_predicted_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(3000) < 0.1).astype(np.int64)
    x = {"v": (rng.normal(size=(3000, 2)) + labels[:, None] * 0.5).astype(np.float32)}
    groups = np.arange(3000) // 100
    parts, order = make_parts(groups, None, 0), rng.random(3000)
    monkeypatch.setattr("geojepa_cli.evaluate.review_heads.MOST_OF_CLASS", 150)
    few = out_of_fold(x, pool_rare(labels), parts, order, 1, lambda done, total: None)["v"]
    assert few[:, 1].mean() == pytest.approx(labels.mean(), abs=0.03)


def test_rare_classes_become_one() -> None:
    labels = np.repeat(np.arange(4), [50, MIN_CLASS, 3, 2])
    classes = pool_rare(labels)
    assert classes.frequent.tolist() == [0, 1] and classes.count == 3
    assert np.bincount(classes.labels).tolist() == [50, MIN_CLASS, 5]
    assert pool_rare(np.repeat([0, 1], 50)).count == 2


def test_the_pool_is_a_normalised_geometric_mean() -> None:
    a, b = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    raised = np.sqrt(a * b)
    assert np.allclose(pooled([a, b], [0.5, 0.5]), raised / raised.sum())
    assert with_prior(np.array([[1.0, 0.0]]), np.array([0.5, 0.5])).min() > 0


def test_the_score_is_the_formula_and_rare_classes_are_never_suggested() -> None:
    p = np.array([[0.6, 0.1, 0.3], [0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    shares, labels = np.array([0.7, 0.2, 0.1]), np.array([1, 1, 2])
    found = surprise(p, labels, shares, 2)
    assert found.best.tolist() == [0, 0, 0]
    for row in range(3):
        expected = np.log2(p[row, 0] / p[row, labels[row]]) + RARITY * np.log2(shares[labels[row]])
        assert found.score[row] == pytest.approx(expected)
