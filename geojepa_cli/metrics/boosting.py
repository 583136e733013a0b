"""Gradient boosting of decision trees on feature vectors, for labels that are numbers or classes.

Validation rows choose the loss and the number of trees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.metrics.label_forms import PLAIN, LabelForm, best_form, fitted_forms
from geojepa_cli.metrics.logistic import cross_entropy

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Clamp = tuple[float, float] | None

SQUARED = "squared_error"
LOSSES = (SQUARED, "absolute_error")
TREES = 100
LEARNING_RATE = 0.1
PATIENCE = 10  # trees per class that are added at a time, and after which no lower validation loss is expected
LEAF_ROWS = 20  # fewest training rows of a leaf
BINS = 63  # embeddings have no rare values that finer bins would separate, and fewer bins are faster


@dataclass(frozen=True)
class Boosting:
    """Trained gradient boosting of decision trees.

    Attributes:
        model: fitted `HistGradientBoostingRegressor` of scikit-learn.
        loss: loss that the trees reduce, one of `LOSSES`.
        trees: number of trees that predictions use.
        form: form of the labels that the trees predict.
    """

    model: Any
    loss: str
    trees: int
    form: LabelForm = PLAIN

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels, float64 [n], for features [n, d]."""
        return self.form.invert(self.predict_in_form(x))

    def predict_in_form(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels in the form `form`, float64 [n], for features [n, d]."""
        return next(predicted for tree, predicted in enumerate(self.model.staged_predict(x), 1) if tree == self.trees)


def fit_boostings(
    x: NDArray[np.floating],
    ys: NDArray[np.floating],
    x_val: NDArray[np.floating],
    ys_val: NDArray[np.floating],
    losses: tuple[str, ...] = LOSSES,
    trees: int = TREES,
    clamps: Sequence[Clamp] = (),
    forms: Sequence[Sequence[LabelForm]] = (),
) -> list[Boosting]:
    """Fits gradient boosting (scikit-learn's `HistGradientBoostingRegressor`) with each loss to each column of labels.

    Returns the best for each column. Its loss, form of the labels and number of trees are those with the lowest mean
    absolute error (MAE) on the validation rows. Without validation rows, the MAE on the training rows decides. Square
    roots are only predicted with the squared error, because they make almost no difference to trees that reduce the
    absolute error. The features are sorted into bins only once. The result does not depend on a random seed or on the
    number of threads.

    Args:
        x, ys: features [n, d] and labels [n, t] of the training rows.
        x_val, ys_val: features [m, d] and labels [m, t] of the validation rows.
        losses: losses to try: `squared_error`, `absolute_error` or both.
        trees: maximum number of trees.
        clamps: for each column, the minimum and maximum to which predictions are clipped before the MAE is computed, or
            None. Empty: no predictions are clipped.
        forms: for each column, the forms of labels to try. Empty: only plain labels.
    """
    from threadpoolctl import threadpool_limits

    if not len(x_val):
        x_val, ys_val = x, ys
    fit = _fitting(np.asarray(x, np.float64), trees)
    found = []
    with threadpool_limits(1, "openmp"):
        columns = zip(ys.T, ys_val.T, clamps or [None] * ys.shape[1], forms or [(PLAIN,)] * ys.shape[1], strict=True)
        for y, y_val, clamp, tried in columns:
            best: tuple[float, Boosting] | None = None
            for (fitted, read), loss in product(fitted_forms(tried), losses):
                if fitted is not PLAIN and loss != SQUARED:
                    continue
                model = fit(loss, fitted.apply(y))
                for tree, predicted in enumerate(model.staged_predict(x_val), 1):
                    error, form = best_form(read, predicted, y_val, clamp)
                    if best is None or error < best[0]:
                        best = error, Boosting(model, loss, tree, form)
            assert best is not None
            found.append(best[1])
    return found


def _fitting(x: Floats, trees: int) -> Callable[[str, NDArray[np.floating]], Any]:
    """Returns a function that fits boosting with a loss to labels of the features `x`, which are binned only once."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    binned: list[tuple[Any, Any]] = []

    class Regressor(HistGradientBoostingRegressor):  # type: ignore[misc]  # scikit-learn has no types
        _bin_mapper: Any

        def _bin_data(self, *args: Any, **kwargs: Any) -> Any:
            # a step of `fit`; without early stopping, `fit` bins the training rows only
            if not binned:
                binned.append((super()._bin_data(*args, **kwargs), self._bin_mapper))
            data, self._bin_mapper = binned[0]
            return data

    def fit(loss: str, y: NDArray[np.floating]) -> Any:
        return Regressor(
            loss=loss,
            max_iter=trees,
            learning_rate=LEARNING_RATE,
            max_bins=BINS,
            early_stopping=False,
            random_state=0,
        ).fit(x, y)

    return fit


@dataclass(frozen=True)
class BoostedClasses:
    """Trained gradient boosting of decision trees that predicts classes.

    Attributes:
        model: fitted `HistGradientBoostingClassifier` of scikit-learn.
        columns: indexes of the features that it reads.
        classes: number of classes.
        trees: number of trees per class that predictions use.
    """

    model: Any
    columns: Rows
    classes: int
    trees: int

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns the probability of each class [n, classes] for features [n, d]."""
        staged = self.model.staged_predict_proba(x[:, self.columns])
        return _of_all_classes(self.model, next(islice(staged, self.trees - 1, None)), self.classes)


def fit_boosted_classes(
    x: NDArray[np.floating], y: Rows, classes: int, train: Rows, val: Rows, trees: int = TREES
) -> BoostedClasses | None:
    """Fits gradient boosting (scikit-learn's `HistGradientBoostingClassifier`) to the training rows.

    The number of trees is that with the lowest cross-entropy on the validation rows, or on the training rows if there
    are no validation rows. Trees are added until it did not fall for `PATIENCE` trees. A feature that is not zero in
    fewer than `LEAF_ROWS` training rows cannot split them, so it is left out. The result does not depend on a random
    seed or on the number of threads.

    Args:
        x: features [n, d].
        y: class of each row, 0 to `classes` - 1 [n].
        classes: number of classes. A class without a training row gets the probability 0.
        train, val: indexes of the training and validation rows.
        trees: maximum number of trees per class.

    Returns:
        The fitted model. None if the training rows have a single class, or no feature can split them.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    columns = np.flatnonzero((x[train] != 0).sum(axis=0) >= LEAF_ROWS)
    if len(np.unique(y[train])) < 2 or not len(columns):
        return None
    chosen = val if len(val) else train
    given, tested = x[train][:, columns], x[chosen][:, columns]
    losses: list[float] = []
    with threadpool_limits(1, "openmp"):
        model = HistGradientBoostingClassifier(
            learning_rate=LEARNING_RATE,
            max_bins=BINS,
            min_samples_leaf=LEAF_ROWS,
            early_stopping=False,
            warm_start=True,
            random_state=0,
        )
        while len(losses) < trees and len(losses) - (int(np.argmin(losses)) if losses else 0) <= PATIENCE:
            model.set_params(max_iter=min(len(losses) + PATIENCE, trees)).fit(given, y[train])
            staged = islice(model.staged_predict_proba(tested), len(losses), None)
            losses += [cross_entropy(_of_all_classes(model, found, classes), y[chosen]) for found in staged]
    return BoostedClasses(model, columns, classes, int(np.argmin(losses)) + 1)


def _of_all_classes(model: Any, probabilities: Floats, classes: int) -> Floats:
    """Returns probabilities of all classes, from those of the classes that the model knows."""
    found = np.zeros((len(probabilities), classes))
    found[:, model.classes_] = probabilities
    return found
