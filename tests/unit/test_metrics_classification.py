"""Class metrics and the logistic head, compared with scikit-learn and with written-out formulas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, log_loss, recall_score

from geojepa_cli.metrics.boosting import LEAF_ROWS, fit_boosted_classes
from geojepa_cli.metrics.classification import ClassBootstrap, average_precisions, recalls
from geojepa_cli.metrics.logistic import cross_entropy, fit_logistic


def random_rows(seed: int, n: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities with many ties, classes, and groups."""
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 8, (n, classes)) / 8.0
    return probabilities, rng.integers(0, classes, n), rng.integers(0, 15, n)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_scikit_learn(seed: int) -> None:
    probabilities, true, groups = random_rows(seed)
    predicted = probabilities.argmax(1)
    found = ClassBootstrap(true, groups, 4, draws=2).figures(probabilities[None])
    assert found.accuracy.value == pytest.approx(accuracy_score(true, predicted), abs=1e-12)
    assert found.balanced.value == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-12)
    assert recalls(predicted, true, 4) == pytest.approx(recall_score(true, predicted, average=None), abs=1e-12)
    expected = [average_precision_score(true == one, probabilities[:, one]) for one in range(4)]
    assert average_precisions(probabilities, true) == pytest.approx(expected, abs=1e-12)
    assert found.average_precision.value == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_class_without_a_row_has_no_recall_and_no_average_precision() -> None:
    probabilities, true, _ = random_rows(0)
    true[true == 3] = 0
    assert np.isnan(recalls(probabilities.argmax(1), true, 4)).tolist() == [False, False, False, True]
    assert np.isnan(average_precisions(probabilities, true)).tolist() == [False, False, False, True]


def mean_precision(true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of scikit-learn's average precisions of the classes that occur."""
    return float(np.mean([average_precision_score(true == one, probabilities[:, one]) for one in np.unique(true)]))


def test_intervals_are_percentiles_of_the_figure_of_resampled_groups() -> None:
    rng = np.random.default_rng(9)
    _, true, groups = random_rows(1, n=60)
    true[groups != 3] %= 3  # the last class is in one group only, so it is missing in some samples
    true[groups == 3] = 3
    models = [rng.integers(0, 8, (2, 60, 4)) / 8.0 for _ in range(2)]  # two seeds each, with ties
    bootstrap = ClassBootstrap(true, groups, 4, draws=60, seed=5)
    names = np.unique(groups)
    drawn = np.random.default_rng(5).multinomial(len(names), np.full(len(names), 1 / len(names)), size=60)
    slow: dict[str, list[float]] = {"balanced": [], "average_precision": []}
    missing = 0
    for sample in drawn:
        rows = np.concatenate(
            [np.repeat(np.flatnonzero(groups == g), times) for g, times in zip(names, sample, strict=True)]
        )
        missing += 3 not in true[rows]
        recall = [np.mean([balanced_accuracy_score(true[rows], one[rows].argmax(1)) for one in m]) for m in models]
        precision = [np.mean([mean_precision(true[rows], one[rows]) for one in m]) for m in models]
        slow["balanced"].append(recall[0] - recall[1])
        slow["average_precision"].append(precision[0] - precision[1])
    assert missing > 5
    figures = [bootstrap.figures(one) for one in models]
    for name, values in slow.items():
        pair = [getattr(one, name) for one in figures]
        found = bootstrap.interval(*pair)
        assert (found.low, found.high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12), name
        assert found.value == pytest.approx(pair[0].of_seeds.mean() - pair[1].of_seeds.mean())
        assert found.groups == len(names)


def test_columns_that_boosting_leaves_out_would_not_change_it() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 300)
    x = rng.poisson(1.0, (300, 6)) + (y[:, None] == [0, 1, 2, 0, 1, 2]) * rng.integers(0, 2, (300, 6))
    x[:, 5] = 0
    x[rng.choice(200, LEAF_ROWS - 1, replace=False), 5] = 3  # too few rows for a leaf
    train, val = np.arange(200), np.arange(200, 300)
    model = fit_boosted_classes(x.astype(np.float32), y, 4, train, val, trees=25)
    assert model is not None and model.columns.tolist() == [0, 1, 2, 3, 4] and 1 < model.trees <= 25
    whole = HistGradientBoostingClassifier(
        max_iter=model.trees, learning_rate=0.1, max_bins=63, min_samples_leaf=LEAF_ROWS, early_stopping=False
    ).fit(x[train], y[train])
    found = model.predict(x)
    assert found[:, :3] == pytest.approx(whole.predict_proba(x), abs=1e-9) and (found[:, 3] == 0).all()
    more = HistGradientBoostingClassifier(
        max_iter=25, learning_rate=0.1, max_bins=63, min_samples_leaf=LEAF_ROWS, early_stopping=False
    ).fit(x[train], y[train])
    losses = [log_loss(y[val], one, labels=[0, 1, 2]) for one in more.staged_predict_proba(x[val])]
    assert np.argmin(losses[: model.trees + 10]) + 1 == model.trees
    assert fit_boosted_classes(np.zeros((300, 2), np.float32), y, 3, train, val) is None


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_the_logistic_regression_of_scikit_learn_on_standardised_features(classes: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 6)) * [1, 10, 0.1, 1, 1, 0] + 3
    y = (x @ rng.normal(size=(6, classes)) + rng.gumbel(size=(300, classes))).argmax(1)
    model = fit_logistic(x, y, classes, np.arange(200), np.arange(0), penalties=(0.01,))
    standard = (x - x[:200].mean(0)) / np.where(x[:200].std(0) > 1e-9, x[:200].std(0), 1)
    expected = LogisticRegression(C=1 / (200 * 0.01), tol=1e-8, max_iter=2000).fit(standard[:200], y[:200])
    assert model.predict(x) == pytest.approx(expected.predict_proba(standard), abs=2e-3)
    assert model.predict(x).sum(1) == pytest.approx(np.ones(300))


def test_the_penalty_with_the_lowest_loss_on_validation_rows_is_used_and_all_rows_are_fitted() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, 40))
    y = (x[:, 0] + rng.normal(size=120) > 0).astype(np.int64)
    train, val = np.arange(80), np.arange(80, 120)
    losses = {}
    for penalty in (1.0, 0.1, 0.001):
        single = fit_logistic(x, y, 2, train, np.arange(0), penalties=(penalty,))
        losses[penalty] = cross_entropy(single.predict(x[val]), y[val])
    model = fit_logistic(x, y, 2, train, val, penalties=(1.0, 0.1, 0.001))
    assert model.penalty == min(losses, key=losses.__getitem__)
    whole = fit_logistic(x, y, 2, np.arange(120), np.arange(0), penalties=(model.penalty,))
    assert model.weight == pytest.approx(whole.weight, abs=2e-3)
    assert model.mean == pytest.approx(x.mean(0)) and model.scale == pytest.approx(x.std(0))


def test_a_class_that_training_does_not_have_gets_no_probability() -> None:
    x, y = np.eye(6), np.array([0, 0, 2, 2, 0, 2])
    found = fit_logistic(x, y, 3, np.arange(6), np.arange(0)).predict(x)
    assert (found[:, 1] == 0).all() and found.sum(1) == pytest.approx(np.ones(6))
    alone = fit_logistic(x, np.full(6, 1), 3, np.arange(6), np.arange(0)).predict(x)
    assert (alone == [0, 1, 0]).all()
