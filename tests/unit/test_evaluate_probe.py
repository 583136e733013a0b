"""Probes on problems with known answers: protocols, intervals, clamping, leakage between groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.folds import ProbeData, cross_validation_folds, make_folds
from geojepa_cli.evaluate.probe import run_probe


def _data(n_groups: int, per_group: int = 8, seed: int = 0, binary: bool = False) -> tuple[ProbeData, np.ndarray]:
    """Labels are a linear function of the vectors, up to noise of 0.1 (or its sign)."""
    rng = np.random.default_rng(seed)
    n = n_groups * per_group
    vectors = rng.normal(size=(n, 12)).astype(np.float32)
    labels = vectors[:, :4].sum(1).astype(np.float64) * 2 + rng.normal(scale=0.1, size=n)
    labels = (labels > 0).astype(np.float64) if binary else labels
    groups = np.repeat(np.arange(n_groups), per_group) + (1 << 33)
    split = np.array([0, 0, 0, 1, 2], np.uint8)[np.repeat(np.arange(n_groups) % 5, per_group)]
    return ProbeData(labels, np.ones(n, bool), split, groups, (-1e3, 1e3), binary), vectors


def test_a_linear_label_is_found_and_noise_is_no_better_than_dummy() -> None:
    data, vectors = _data(110)
    noise = np.random.default_rng(9).normal(size=vectors.shape).astype(np.float32)
    result = run_probe(data, {"good": vectors, "noise": noise}, ("linear",))
    scores = {score.model: score for score in result.scores}
    assert result.evaluation == "test split"
    assert result.groups == result.test_groups == 22
    assert scores["good"].mae.value == pytest.approx(0.08, abs=0.02)  # the mean of |N(0, 0.1)|
    assert scores["noise"].relative is not None
    assert 0.95 < scores["noise"].relative < 1.1
    assert scores["good"].mae.low < scores["good"].mae.value < scores["good"].mae.high


def test_dummy_is_the_median_of_the_training_labels() -> None:
    data, vectors = _data(110)
    result = run_probe(data, {"m": vectors}, ("linear",))
    test = data.split == 2
    expected = np.abs(data.labels[test] - np.median(data.labels[data.split == 0])).mean()
    assert result.scores[0].model == "dummy"
    assert result.scores[0].mae.value == pytest.approx(expected)
    assert result.scores[0].relative == pytest.approx(1.0)


def test_few_test_groups_are_cross_validated_over_all_groups_and_the_description_has_it() -> None:
    data, vectors = _data(40)
    result = run_probe(data, {"m": vectors}, ("linear",))
    assert result.evaluation == "cross-validation"
    assert (result.groups, result.test_groups, result.folds) == (40, 8, 5)
    assert (result.fold >= 0).all()
    assert "5-fold cross-validation" in result.describe()
    assert "8 groups, fewer than 20" in result.describe()


def test_one_group_is_described_in_the_singular() -> None:
    data, vectors = _data(40)
    result = run_probe(data, {"m": vectors}, ("linear",))
    assert "has 1 group, fewer than 20" in replace(result, test_groups=1).describe()


def test_folds_never_share_a_group() -> None:
    data, _ = _data(17, per_group=3)
    tested = np.zeros(len(data.labels), int)
    for fold in cross_validation_folds(data, 5, seed=3):
        parts = [set(data.groups[rows].tolist()) for rows in (fold.train, fold.val, fold.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert len(fold.train)
        tested[fold.test] += 1
    assert (tested == 1).all()


def test_thinned_tiles_are_never_fitted_and_count_only_in_the_unthinned_score() -> None:
    data, vectors = _data(30)
    kept = np.random.default_rng(1).random(len(data.labels)) < 0.5
    labels = np.where(kept, data.labels, 1000.0)  # a fit to them would be far off
    thinned = ProbeData(labels, kept, data.split, data.groups, clamp=(-20.0, 20.0))
    result = run_probe(thinned, {"m": vectors}, ("linear", "mlp"))
    for score in result.scores[1:]:
        assert score.mae.value < 2.0
        assert score.mae_unthinned > 400
    for fold in make_folds(thinned):
        assert kept[fold.train].all()
        assert kept[fold.val].all()


def test_a_group_of_thinned_tiles_alone_is_tested_too() -> None:
    data, vectors = _data(30)
    kept = data.groups != data.groups[0]
    result = run_probe(ProbeData(data.labels, kept, data.split, data.groups), {"m": vectors}, ("linear",))
    assert (result.fold >= 0).all()
    assert result.groups == 29


def test_predictions_are_clamped_to_the_given_range_or_that_of_the_training_labels() -> None:
    data, vectors = _data(30)
    clamped = ProbeData(data.labels, data.kept, data.split, data.groups, clamp=(0.0, None))
    predicted = run_probe(clamped, {"m": 50 * vectors}, ("linear", "mlp")).predictions
    for key in (("m", "linear"), ("m", "mlp")):
        assert predicted[key].min() == 0.0
        assert predicted[key].max() <= data.labels.max()


def test_binary_tasks_have_an_auroc() -> None:
    data, vectors = _data(60, binary=True)
    scores = run_probe(data, {"m": vectors}, ("linear", "mlp")).scores
    assert scores[0].auroc == 0.5
    assert all(score.auroc is not None and score.auroc > 0.97 for score in scores[1:])


def test_the_same_seed_gives_the_same_scores() -> None:
    data, vectors = _data(25)
    first, second = (run_probe(data, {"m": vectors}, ("linear", "mlp"), seed=4) for _ in range(2))
    assert first.scores == second.scores


@pytest.mark.parametrize(("n_groups", "per_group"), [(2, 50), (5, 3)])
def test_too_little_to_probe_is_an_error(n_groups: int, per_group: int) -> None:
    data, vectors = _data(n_groups, per_group)
    with pytest.raises(DataError, match="too few"):
        run_probe(data, {"m": vectors}, ("linear",))


def test_empty_folds_are_skipped_and_the_others_keep_their_numbers() -> None:
    data, vectors = _data(30)
    fold = (np.repeat(np.arange(30), 8) % 3).astype(np.uint8)
    fold[fold == 1] = 5  # folds 1, 3 and 4 are empty
    result = run_probe(replace(data, task_fold=fold), {"m": vectors}, ("linear", "mlp"))
    np.testing.assert_array_equal(result.fold, fold)
    assert (result.evaluation, result.folds) == ("task folds", 3)
    assert all(np.isfinite(predicted).all() for predicted in result.predictions.values())


def _row_of_groups(n: int) -> np.ndarray:
    """`n` groups in a row, in the encoding of `TileStore.groups`."""
    return np.array([(4000 + x) << 32 | 6000 for x in range(n)])


def test_the_tasks_own_folds_are_tested_one_after_the_other() -> None:
    data, vectors = _data(30)
    fold = (np.repeat(np.arange(30), 8) % 3).astype(np.uint8)
    result = run_probe(replace(data, task_fold=fold), {"m": vectors}, ("linear",))
    assert result.evaluation == "task folds"
    np.testing.assert_array_equal(result.fold, fold)
    assert result.describe().startswith("3-fold cross-validation over groups (folds of the task): 240 tiles in 30")


@pytest.mark.parametrize("with_folds", [False, True])
def test_with_a_buffer_no_fold_fits_or_chooses_on_groups_next_to_its_tested_ones(with_folds: bool) -> None:
    data, vectors = _data(24)
    groups = np.repeat(_row_of_groups(24), 8)
    fold = (np.repeat(np.arange(24), 8) // 6).astype(np.uint8) if with_folds else None
    buffered = replace(data, groups=groups, task_fold=fold, buffer=True)
    left_out = 0
    for part in make_folds(buffered):
        tested = set((groups[part.test] >> 32).tolist())
        used = set((groups[np.concatenate([part.train, part.val])] >> 32).tolist())
        assert used and not used & {column + step for column in tested for step in (-1, 0, 1)}
        left_out += 24 - len(tested) - len(used)
    assert left_out > 0
    assert "next to test groups are not used" in run_probe(buffered, {"m": vectors}, ("linear",)).describe()


def test_a_buffer_that_leaves_nothing_to_train_on_is_an_error() -> None:
    data, _ = _data(6)
    groups = np.repeat(_row_of_groups(6), 8)
    fold = (np.repeat(np.arange(6), 8) % 2).astype(np.uint8)
    with pytest.raises(DataError, match="buffer leaves no tile to train on"):
        make_folds(replace(data, groups=groups, task_fold=fold, buffer=True))


def test_a_random_split_is_used_whatever_the_groups_and_marked() -> None:
    data, vectors = _data(10)
    split = np.random.default_rng(0).choice(3, len(data.labels), p=[0.6, 0.2, 0.2]).astype(np.uint8)
    result = run_probe(replace(data, split=split, random=True), {"m": vectors}, ("linear",))
    assert result.evaluation == "test split"
    assert result.describe().startswith("RANDOM SPLIT")
    np.testing.assert_array_equal(result.fold >= 0, split == 2)
