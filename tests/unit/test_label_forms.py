"""Forms of labels: scikit-learn's ridge on transformed labels is the oracle, and heads choose the better form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geojepa_cli.evaluate.folds import ProbeData, make_folds
from geojepa_cli.evaluate.heads import predict_head, predict_two_parts
from geojepa_cli.evaluate.probe import run_probe
from geojepa_cli.evaluate.scores import Predicted, score
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.label_forms import CLASS, PLAIN, ROOT, LabelForm, forms_of
from geojepa_cli.metrics.ridge import fit_ridges

Array = np.ndarray


def _counts(n: int = 400) -> tuple[Array, Array, Array]:
    """Features, counts whose square root is linear in them, and groups."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 6))
    root = 4 + x @ np.array([1.5, -1, 0.5, 0, 0, 0]) + rng.normal(scale=0.7, size=n)
    return x, np.floor(np.square(root.clip(min=0))), rng.integers(0, 40, n)


def _probe(labels: Array, n_groups: int, binary: bool) -> ProbeData:
    per_group = len(labels) // n_groups
    groups = np.repeat(np.arange(n_groups), per_group) + (1 << 33)
    split = np.array([0, 0, 0, 1, 2], np.uint8)[np.repeat(np.arange(n_groups) % 5, per_group)]
    clamp = (0.0, 1.0 if binary else None)
    return ProbeData(labels, np.ones(len(labels), bool), split, groups, clamp, binary=binary)


def _events(seed: int = 3) -> tuple[ProbeData, Array]:
    """Labels of 0 and 1, of which a feature gives the probability."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(660, 5)).astype(np.float32)
    happens = rng.random(660) < 1 / (1 + np.exp(-2.5 * x[:, 0]))
    return _probe(happens.astype(np.float64), 110, binary=True), x


def test_forms_fit_the_labels() -> None:
    assert forms_of(np.array([0.0, 1.0, 1.0])) == (PLAIN, CLASS)
    assert forms_of(np.array([0.0, 1.0, 2.0])) == (PLAIN, ROOT)
    assert forms_of(np.array([0.5, 30.0])) == (PLAIN, ROOT)
    assert forms_of(np.array([-100.0, 30.0])) == (PLAIN,)


@pytest.mark.parametrize("form", [PLAIN, ROOT])
def test_labels_keep_their_values_in_every_form(form: LabelForm) -> None:
    values = np.array([0.0, 0.25, 1.0, 7.0, 1e6])
    np.testing.assert_allclose(form.invert(form.apply(values)), values, rtol=1e-12)


def test_predictions_below_zero_are_no_positive_counts() -> None:
    np.testing.assert_array_equal(ROOT.invert(np.array([-3.0, -0.1, 0.0, 2.0])), [0.0, 0.0, 0.0, 4.0])
    np.testing.assert_array_equal(CLASS.invert(np.array([-0.2, 0.49, 0.5, 1.3])), [0.0, 0.0, 1.0, 1.0])


def _oracle(root: bool, alpha: float) -> TransformedTargetRegressor:
    model = make_pipeline(StandardScaler(), SklearnRidge(alpha=alpha, solver="svd"))
    if not root:
        return TransformedTargetRegressor(model)
    return TransformedTargetRegressor(model, func=np.sqrt, inverse_func=lambda v: np.square(np.maximum(v, 0)))


@pytest.mark.parametrize("linear", [False, True])
def test_ridge_chooses_form_and_penalty_as_a_slow_search_with_scikit_learn(linear: bool) -> None:
    x, counts, groups = _counts()
    y = np.abs(x @ np.array([3.0, 2, 0, 0, 0, 0]) + 20) if linear else counts
    alphas = (1.0, 100.0)
    fold = group_folds(groups, 5, 0)
    errors = {}
    for root in (False, True):
        for alpha in alphas:
            fits = [_oracle(root, alpha).fit(x[fold != part], y[fold != part]) for part in range(5)]
            parts = [fit.predict(x[fold == part]).clip(0, 90) - y[fold == part] for part, fit in enumerate(fits)]
            errors[root, alpha] = np.abs(np.concatenate(parts)).sum()
    best = min(errors, key=lambda key: errors[key])
    (ours,) = fit_ridges(x, y[:, None], groups, alphas, clamps=((0.0, 90.0),), forms=((PLAIN, ROOT),))
    assert (ours.form is ROOT, ours.alpha) == best
    assert ours.form is (PLAIN if linear else ROOT)
    np.testing.assert_allclose(ours.predict(x), _oracle(*best).fit(x, y).predict(x), rtol=1e-8, atol=1e-8)


def test_forms_of_one_column_do_not_change_another() -> None:
    x, y, groups = _counts()
    both = np.column_stack([y, (y > 12).astype(np.float64)])
    alone = fit_ridges(x, both[:, 1:], groups, clamps=((0.0, 1.0),), forms=((PLAIN, CLASS),))[0]
    together = fit_ridges(x, both, groups, clamps=((0.0, 90.0), (0.0, 1.0)), forms=((PLAIN, ROOT), (PLAIN, CLASS)))[1]
    assert (together.form.name, together.alpha) == (alone.form.name, alone.alpha) == ("class", alone.alpha)
    np.testing.assert_allclose(together.predict_in_form(x), alone.predict_in_form(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", ["linear", "mlp", "boosting"])
def test_heads_predict_classes_and_rank_by_their_probability(head: str) -> None:
    data, vectors = _events()
    fold = make_folds(data)[0]
    found = predict_head(head, vectors, data.labels, data.groups, fold, (0.0, 1.0), 0)
    assert set(np.unique(found.labels)) == {0.0, 1.0}
    np.testing.assert_array_equal(found.labels, found.scores >= 0.5)
    assert len(np.unique(found.scores)) > 20
    true, score = data.labels[fold.test], run_probe(data, {"m": vectors}, (head,)).scores[1]
    assert score.mae.value == pytest.approx(np.mean(found.labels != true))
    assert score.mae.value < np.abs(found.scores - true).mean()
    assert score.auroc == pytest.approx(roc_auc_score(true, found.scores))
    assert score.average_precision == pytest.approx(average_precision_score(true, found.scores))


@pytest.mark.parametrize("head", ["mlp", "boosting"])
def test_predictions_are_not_rounded_where_this_raises_the_validation_error(head: str) -> None:
    rng = np.random.default_rng(0)
    data = _probe((rng.random(660) < 0.35).astype(np.float64), 110, binary=True)
    fold = make_folds(data)[0]
    data.labels[fold.val] = 1.0  # nothing predicts this: about 0.35 is an error of 0.65, and a rounded 0 one of 1
    nothing = np.zeros((660, 1), np.float32)
    found = predict_head(head, nothing, data.labels, data.groups, fold, (0.0, 1.0), 0)
    assert found.labels == pytest.approx(data.labels[fold.train].mean(), abs=0.1)
    np.testing.assert_array_equal(found.labels, found.scores)


def test_r2_belongs_to_the_predictions_whose_error_is_reported() -> None:
    truth = np.tile([0.0, 1.0, 3.0, 0.0], 30)  # labels of which a learning curve may draw zeros and ones only
    data = _probe(truth, 30, binary=False)
    scores = np.tile([0.4, 0.7, 0.9, 0.2], 30)
    predicted = Predicted((scores >= 0.5).astype(np.float64)[None], scores[None])
    found = score(("m", "linear"), predicted, data, np.ones(120, bool), 1.0, 0, 1)
    assert found.r2 == pytest.approx(r2_score(truth, predicted.labels[0]))


@pytest.mark.parametrize("head", ["linear", "mlp", "boosting"])
def test_heads_find_counts_whose_square_root_is_linear(head: str) -> None:
    x, y, _ = _counts(660)
    data, vectors = _probe(y, 110, binary=False), x.astype(np.float32)
    fold, clamp = make_folds(data)[0], (0.0, float(y.max()))
    known = np.concatenate([fold.train, fold.val])
    found = predict_head(head, vectors, y, data.groups, fold, clamp, 0).labels
    straight = StandardScaler().fit(x[known])
    ridge = SklearnRidge(alpha=1.0).fit(straight.transform(x[known]), y[known])
    plain = ridge.predict(straight.transform(x[fold.test])).clip(*clamp)
    assert np.abs(found - y[fold.test]).mean() < np.abs(plain - y[fold.test]).mean()


def test_sgd_of_the_thesis_predicts_plain_labels() -> None:
    data, vectors = _events()
    found = predict_head("sgd", vectors, data.labels, data.groups, make_folds(data)[0], (0.0, 1.0), 0)
    assert len(np.unique(found.labels)) > 20
    np.testing.assert_array_equal(found.labels, found.scores)


def test_presence_is_a_probability() -> None:
    data, vectors = _events()
    labels = np.where(data.labels > 0, 1.0, -100.0)
    data = replace(data, labels=labels, clamp=(-100.0, None), binary=False, absent=-100.0)
    fold = make_folds(data)[0]
    for head in ("linear", "mlp", "boosting"):
        _, parts = predict_two_parts(head, vectors, labels, -100.0, data.groups, fold, (-100.0, 1.0), 0)
        assert len(np.unique(parts.presence)) > 20
