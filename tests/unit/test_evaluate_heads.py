"""Every head on problems with known answers: shuffled labels, the label as a feature, two parts, few labels, seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from geojepa_cli.config.heads import HEADS, SEEDED
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.folds import Fold, ProbeData, make_folds
from geojepa_cli.evaluate.heads import predict_head, predict_two_parts
from geojepa_cli.evaluate.label_shares import with_share
from geojepa_cli.evaluate.probe import run_probe

SPEED = -100.0  # the label of a tile without a road


def _data(n_groups: int = 110, per_group: int = 6, seed: int = 0) -> tuple[ProbeData, np.ndarray]:
    """Counts that depend on the first of ten features, with a test split."""
    rng = np.random.default_rng(seed)
    n = n_groups * per_group
    vectors = rng.normal(size=(n, 10)).astype(np.float32)
    labels = np.floor(np.exp(1.0 + 0.7 * vectors[:, 0].astype(np.float64)))
    groups = np.repeat(np.arange(n_groups), per_group) + (1 << 33)
    split = np.array([0, 0, 0, 1, 2], np.uint8)[np.repeat(np.arange(n_groups) % 5, per_group)]
    return ProbeData(labels, np.ones(n, bool), split, groups, (0.0, None)), vectors


def _speeds(n_groups: int = 110) -> tuple[ProbeData, np.ndarray]:
    """Labels that are −100 where a feature is negative, otherwise 30 to 130 along another feature."""
    data, vectors = _data(n_groups)
    speed = 80 + 20 * vectors[:, 1].astype(np.float64)
    labels = np.where(vectors[:, 0] < 0, SPEED, speed)
    return replace(data, labels=labels, clamp=(SPEED, None), absent=SPEED), vectors


def _split(data: ProbeData) -> Fold:
    (fold,) = make_folds(data)
    return fold


@pytest.mark.parametrize("head", HEADS)
def test_shuffled_labels_are_predicted_no_better_than_by_dummy(head: str) -> None:
    data, vectors = _data()
    shuffled = replace(data, labels=np.random.default_rng(1).permutation(data.labels))
    true, noise = (run_probe(one, {"m": vectors}, (head,)).scores[1].relative for one in (data, shuffled))
    assert true is not None and noise is not None
    assert true < 0.7 and noise > 0.97


@pytest.mark.parametrize("head", HEADS)
def test_the_label_as_a_feature_is_found(head: str) -> None:
    data, vectors = _data(220)
    data = replace(data, labels=data.labels.clip(0, 6))  # trees need some tiles of every label
    given = np.column_stack([vectors[:, 1:4], data.labels.astype(np.float32)])
    found = run_probe(data, {"m": given}, (head,)).scores[1]
    assert found.r2 is not None and found.r2 > 0.999
    assert found.spearman is not None and found.spearman > 0.98


@pytest.mark.parametrize("head", HEADS)
def test_no_head_reads_the_labels_of_test_tiles(head: str) -> None:
    data, vectors = _speeds(60)
    fold, clamp = make_folds(data)[0], (SPEED, 150.0)
    changed = data.labels.copy()
    changed[fold.test] = np.random.default_rng(2).uniform(-500, 500, len(fold.test))
    for predict in (
        lambda labels: predict_head(head, vectors, labels, data.groups, fold, clamp, 0).labels,
        lambda labels: predict_two_parts(head, vectors, labels, SPEED, data.groups, fold, clamp, 0)[1].combined,
    ):
        np.testing.assert_array_equal(predict(data.labels), predict(changed))


@pytest.mark.parametrize("head", HEADS)
def test_two_parts_find_a_label_that_is_bimodal(head: str) -> None:
    data, vectors = _speeds()
    result = run_probe(data, {"m": vectors}, (head,))
    plain, parts = result.scores[1:]
    assert (plain.head, parts.head) == (head, f"{head} two-part")
    assert plain.parts is None and parts.parts is not None
    if head == "linear":
        assert parts.mae.value < 0.5 * plain.mae.value
    assert parts.parts["presence_auroc"] > 0.97 and parts.parts["presence_average_precision"] > 0.97  # type: ignore[operator]
    assert parts.parts["value_mae"] < 8  # type: ignore[operator]
    tested = result.fold >= 0
    combined = result.predictions["m", f"{head} two-part"][0, tested]
    known = data.labels[data.split == 0]
    assert (combined == SPEED).any() and combined[combined != SPEED].min() >= known[known != SPEED].min()


def test_the_parts_are_scored_by_presence_and_by_the_value_of_tiles_that_have_one() -> None:
    data, vectors = _speeds()
    found = run_probe(data, {"m": vectors}, ("linear",)).scores[2].parts
    fold, y = _split(data), data.labels
    _, parts = predict_two_parts("linear", vectors, y, SPEED, data.groups, fold, (SPEED, y[fold.train].max()), 0)
    there = y[fold.test] != SPEED
    assert found is not None
    assert found["presence_auroc"] == pytest.approx(roc_auc_score(there, parts.presence))
    assert found["presence_average_precision"] == pytest.approx(average_precision_score(there, parts.presence))
    assert found["value_mae"] == pytest.approx(np.abs(parts.value - y[fold.test])[there].mean())
    np.testing.assert_array_equal(parts.combined, np.where(parts.presence < 0.5, SPEED, parts.value))


def test_a_fold_without_any_value_to_measure_predicts_the_absent_value() -> None:
    data, vectors = _speeds(60)
    fold = make_folds(data)[0]
    labels = data.labels.copy()
    labels[np.r_[fold.train, fold.val]] = SPEED
    for head in HEADS:
        _, parts = predict_two_parts(head, vectors, labels, SPEED, data.groups, fold, (SPEED, SPEED), 0)
        assert (parts.combined == SPEED).all()


def test_tasks_without_an_absent_value_in_their_labels_have_no_two_parts() -> None:
    data, vectors = _data()
    for one in (data, replace(data, absent=-100.0)):
        assert [score.head for score in run_probe(one, {"m": vectors}, ("linear",)).scores] == ["median", "linear"]


def test_figures_are_means_over_seeds_with_their_deviation() -> None:
    data, vectors = _data()
    result = run_probe(data, {"m": vectors}, ("linear", "mlp"), seed=3, seeds=3)
    scores = {score.head: score for score in result.scores}
    assert [scores[head].seeds for head in ("median", "linear", "mlp")] == [1, 1, 3]
    assert not scores["linear"].spread
    tested = data.split == 2
    predicted, labels = result.predictions["m", "mlp"][:, tested], data.labels[tested]
    maes = np.abs(predicted - labels).mean(axis=1)
    r2s = [r2_score(labels, one) for one in predicted]
    assert len(set(maes.tolist())) == 3
    assert scores["mlp"].mae.value == pytest.approx(maes.mean())
    assert scores["mlp"].spread["mae"] == pytest.approx(maes.std(ddof=1))
    assert scores["mlp"].r2 == pytest.approx(np.mean(r2s))
    assert scores["mlp"].spread["r2"] == pytest.approx(np.std(r2s, ddof=1))
    alone = run_probe(data, {"m": vectors}, ("mlp",), seed=4)
    np.testing.assert_array_equal(alone.predictions["m", "mlp"][0, tested], predicted[1])


def test_scores_do_not_depend_on_the_number_of_threads_or_on_the_other_heads() -> None:
    data, vectors = _data(100, per_group=4)
    given = {"a": vectors[:, :4], "b": -vectors[:, :4]}
    one = run_probe(data, given, HEADS, seeds=2, threads=1)
    two = run_probe(data, given, HEADS, seeds=2, threads=3)
    assert one.scores == two.scores
    alone = run_probe(data, {"a": given["a"]}, SEEDED[1:], seeds=2)
    assert alone.scores[1] in one.scores


def test_a_share_of_the_labels_never_splits_a_group_and_is_part_of_a_larger_share() -> None:
    data, _ = _data(100, per_group=5)
    fold = _split(data)
    for seed in range(4):
        earlier: set[int] = set()
        for share in (0.001, 0.1, 0.5, 1.0):
            drawn = with_share(fold, data, share, seed)
            rows = np.r_[drawn.train, drawn.val]
            np.testing.assert_array_equal(drawn.test, fold.test)
            for part, whole in ((drawn.train, fold.train), (drawn.val, fold.val)):
                assert set(part.tolist()) <= set(whole.tolist())
                assert np.isin(data.groups[whole], data.groups[part]).sum() == len(part)
                assert share * len(whole) <= len(part) < share * len(whole) + 5 + 1e-9
            assert earlier <= set(rows.tolist())
            earlier = set(rows.tolist())
    first, second = (with_share(fold, data, 0.1, seed).train for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_a_learning_curve_has_the_number_of_labels_and_falling_errors() -> None:
    data, vectors = _data(200)
    result = run_probe(data, {"m": vectors}, ("linear",), shares=(0.01, 0.2), seeds=3)
    fold = _split(data)
    assert (result.labels.share, result.labels.tiles) == (1.0, len(fold.train) + len(fold.val))
    assert [point.labels.share for point in result.curve] == [0.01, 0.2]
    drawn = [with_share(fold, data, 0.2, seed) for seed in range(3)]
    assert result.curve[1].labels.tiles == np.mean([len(one.train) + len(one.val) for one in drawn])
    maes = [result.scores[1].mae.value] + [point.scores[1].mae.value for point in result.curve[::-1]]
    assert maes == sorted(maes)
    assert result.curve[0].scores[1].seeds == 3 and result.curve[0].scores[1].spread["mae"] > 0
    assert {score.model for score in result.curve[0].scores} == {"dummy", "m"}


def test_one_fold_of_a_task_can_be_tested_alone() -> None:
    data, vectors = _data(30)
    folded = replace(data, task_fold=(np.repeat(np.arange(30), 6) % 3).astype(np.uint8))
    whole = run_probe(folded, {"m": vectors}, ("linear",))
    alone = run_probe(folded, {"m": vectors}, ("linear",), only_fold=1)
    tested = folded.task_fold == 1
    np.testing.assert_array_equal(alone.fold >= 0, tested)
    np.testing.assert_array_equal(
        alone.predictions["m", "linear"][:, tested], whole.predictions["m", "linear"][:, tested]
    )
    assert alone.describe().startswith("fold 1 of the task: 60 tiles in 10")
    for wrong, fold in ((folded, 7), (data, 0)):
        with pytest.raises(DataError, match="fold"):
            run_probe(wrong, {"m": vectors}, ("linear",), only_fold=fold)
