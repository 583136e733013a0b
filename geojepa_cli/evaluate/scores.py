"""Scores of prediction heads: errors with confidence intervals, and other figures, averaged over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.folds import Floats, ProbeData
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_mean
from geojepa_cli.metrics.metrics import auroc, average_precision, r2, spearman


@dataclass(frozen=True)
class Score:
    """Errors of one prediction head on the tile vectors of one model. Figures are means over seeds.

    All figures but `mae_unthinned` leave out tiles with label 0 that were removed to reduce their number (thinning).

    Attributes:
        model, head: names of the model and the head. The baseline Dummy, which predicts the median, has the head
            `median`.
        mae: mean absolute error (MAE) and its confidence interval.
        mae_unthinned: MAE on all test tiles, including those that were removed by thinning.
        relative: `mae` divided by the MAE of Dummy with all labels; None if the MAE of Dummy is 0.
        auroc, average_precision: area under the ROC curve, and average precision. None if the task has labels other
            than 0 and 1, or if all labels are equal.
        r2, spearman: coefficient of determination, and Spearman's rank correlation. None if the task has the labels 0
            and 1, or if all labels are equal; for `spearman` also if all predictions are equal.
        seeds: number of seeds. It is 1 for a head that does not depend on the seed.
        spread: standard deviation over seeds of each figure, by name of the figure; empty if there is one seed.
        parts: figures of the two parts of a head that predicts in two parts, otherwise None. `presence_auroc` and
            `presence_average_precision`: is the label another than the absent value? `value_mae`: MAE on tiles with
            another label than the absent value.
    """

    model: str
    head: str
    mae: Interval
    mae_unthinned: float
    relative: float | None
    auroc: float | None = None
    average_precision: float | None = None
    r2: float | None = None
    spearman: float | None = None
    seeds: int = 1
    spread: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float | None] | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the score as a dict for JSON, with numbers rounded to six digits."""
        plain = {**self.__dict__, "mae": dict(self.mae.__dict__)}
        return {key: rounded(value) for key, value in plain.items()}


@dataclass(frozen=True)
class Predicted:
    """Predictions of a head for n tiles with s seeds, each float64 [s, n]. NaN for tiles that were not tested.

    Attributes:
        labels: predicted labels.
        scores: predictions before they were rounded to 0 or 1 (see `Prediction`). None: they are the labels.
        presence, value: predictions of the two parts (see `TwoParts`), if the head predicts in two parts.
    """

    labels: Floats
    scores: Floats | None = None
    presence: Floats | None = None
    value: Floats | None = None

    @property
    def ordered(self) -> Floats:
        """Predictions that were not rounded, for figures that need an order of the tiles, float64 [s, n]."""
        return self.labels if self.scores is None else self.scores


def score(
    key: tuple[str, str],
    predicted: Predicted,
    data: ProbeData,
    tested: NDArray[np.bool_],
    dummy: float,
    seed: int,
    draws: int,
) -> Score:
    """Computes the score of a head.

    Args:
        key: names of the model and the head.
        predicted: predictions of the head for the tiles of the task.
        data: labels and groups of these tiles.
        tested: True for tiles that were tested, bool [n].
        dummy: MAE of Dummy with all labels.
        seed: first seed of the bootstrap.
        draws: number of bootstraps with consecutive seeds; the ends of the interval are means over them.
    """
    counted = tested & data.kept
    errors = np.abs(predicted.labels - data.labels)
    # R² measures errors, so it is computed from the labels; a few labels of a learning curve can all be 0 or 1
    ranked = predicted.ordered if data.binary else predicted.labels
    by_seed: list[dict[str, float | None]] = [
        _errors(error, tested, counted, dummy) | _figures(scores[counted], data.labels[counted], data.binary)
        for error, scores in zip(errors, ranked, strict=True)
    ]
    mean, spread = _over_seeds(by_seed)
    del mean["mae"]
    intervals = [bootstrap_mean(errors.mean(0)[counted], data.groups[counted], seed=seed + i) for i in range(draws)]
    low, high = (float(np.mean([getattr(one, end) for one in intervals])) for end in ("low", "high"))
    parts = None if predicted.presence is None else _part_figures(predicted, data, counted)
    interval = Interval(intervals[0].value, low, high, intervals[0].groups)
    return Score(*key, interval, **mean, seeds=len(errors), spread=spread, parts=parts)


def _errors(
    error: Floats, tested: NDArray[np.bool_], counted: NDArray[np.bool_], dummy: float
) -> dict[str, float | None]:
    mae = float(error[counted].mean())
    relative = mae / dummy if dummy > 0 else None
    return {"mae": mae, "mae_unthinned": float(error[tested].mean()), "relative": relative}


def _figures(predicted: Floats, labels: Floats, binary: bool) -> dict[str, float | None]:
    if binary:
        positive = labels > 0.5
        both = bool(positive.any()) and not bool(positive.all())
        return {
            "auroc": auroc(predicted, positive) if both else None,
            "average_precision": average_precision(predicted, positive) if both else None,
        }
    return {"r2": _defined(r2, predicted, labels), "spearman": _defined(spearman, predicted, labels)}


def _part_figures(predicted: Predicted, data: ProbeData, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    assert predicted.presence is not None and predicted.value is not None
    present = data.labels != data.absent
    figures = []
    for presence, value in zip(predicted.presence, predicted.value, strict=True):
        found = _figures(presence[counted], present[counted].astype(np.float64), binary=True)
        error = np.abs(value - data.labels)[counted & present]
        measured = float(error.mean()) if len(error) else None
        figures.append({f"presence_{name}": one for name, one in found.items()} | {"value_mae": measured})
    return _over_seeds(figures)[0]


def _over_seeds(by_seed: list[dict[str, float | None]]) -> tuple[dict[str, Any], dict[str, float]]:
    """Returns mean and standard deviation over seeds of each figure. A figure that is None for a seed is None."""
    known = {name: [figures[name] for figures in by_seed] for name in by_seed[0]}
    values = {name: np.array(found, np.float64) for name, found in known.items() if None not in found}
    mean = {name: float(values[name].mean()) if name in values else None for name in known}
    several = len(by_seed) > 1
    spread = {name: float(found.std(ddof=1)) for name, found in values.items()} if several else {}
    return mean, spread


def _defined(metric: Callable[[Floats, Floats], float], predicted: Floats, labels: Floats) -> float | None:
    try:
        return metric(predicted, labels)
    except ValueError:
        return None


def rounded(value: Any) -> Any:
    """Rounds all floats in nested mappings and lists to six significant digits."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
