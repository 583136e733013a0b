"""Plots of probes and of the report, as PNG files without a date in them: same inputs, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from geojepa_cli.evaluate.probe import ProbeData, ProbeResult

matplotlib.use("Agg")

COLOURS = ("#2b5f75", "#d98a5b", "#5b8c5a", "#a45cb0", "#77717f")
_METADATA = {"Software": None}


def plot_probe(data: ProbeData, result: ProbeResult, title: str, unit: str, path: Path) -> None:
    """Predicted against true for the model's best head, and every model's error by group."""
    best = best_heads(result)
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    tested = (result.fold >= 0) & data.kept
    for place, (model, head) in enumerate(best.items()):
        predicted = result.predictions[model, head][tested]
        # labels of counts and classes lie on top of each other: a fixed jitter shows how many there are
        jitter = np.random.default_rng(place).uniform(-0.15, 0.15, len(predicted))
        spread = jitter * (1.0 if not data.binary else 0.6)
        colour = COLOURS[place % len(COLOURS)]
        left.scatter(
            data.labels[tested] + spread, predicted, s=9, alpha=0.45, lw=0, color=colour, label=f"{model} ({head})"
        )
    ends = [float(data.labels[tested].min()), float(data.labels[tested].max())]
    left.plot(ends, ends, color="#999", lw=1, ls="--", zorder=0)
    suffix = f" ({unit})" if unit else ""
    left.set(xlabel=f"true{suffix}", ylabel=f"predicted{suffix}", title=title)
    left.legend(frameon=False, fontsize=8)
    _errors_by_group(right, data, result, best, tested)
    right.set_ylabel(f"MAE{suffix}")
    figure.savefig(path, dpi=130, metadata=_METADATA)


def plot_report(
    scores: Mapping[str, float], relative: Mapping[str, Mapping[str, float]], title: str, path: Path
) -> None:
    """MAE / Dummy's by task, a bar for each model; `scores` orders the models, best first."""
    tasks = sorted({task for by_task in relative.values() for task in by_task})
    models = sorted(scores, key=lambda model: (scores[model], model))
    figure = Figure(figsize=(max(6.0, 1.6 * len(tasks) + 2), 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(models))
    for place, model in enumerate(models):
        values = [relative[model].get(task, float("nan")) for task in tasks]
        x = np.arange(len(tasks)) + (place - (len(models) - 1) / 2) * width
        axes.bar(x, values, width, color=COLOURS[place % len(COLOURS)], label=f"{model} ({scores[model]:.3f})")
    axes.axhline(1.0, color="#999", lw=1, ls="--")
    axes.set_xticks(np.arange(len(tasks)), [task.replace("_", "\n") for task in tasks])
    axes.set(ylabel="MAE / MAE of Dummy", title=title)
    axes.legend(frameon=False, fontsize=8, title="model (mean)")
    figure.savefig(path, dpi=130, metadata=_METADATA)


def best_heads(result: ProbeResult) -> dict[str, str]:
    """Each model's head with the lowest MAE, Dummy left out."""
    best: dict[str, tuple[float, str]] = {}
    for figure in result.figures[1:]:
        best[figure.model] = min(best.get(figure.model, (np.inf, "")), (figure.mae.value, figure.head))
    return {model: head for model, (_, head) in best.items()}


def _errors_by_group(
    axes: matplotlib.axes.Axes, data: ProbeData, result: ProbeResult, best: Mapping[str, str], tested: NDArray[np.bool_]
) -> None:
    names, inverse = np.unique(data.groups[tested], return_inverse=True)
    counts = np.bincount(inverse)
    series: Sequence[tuple[str, str]] = [("dummy", "median"), *best.items()]
    order = None
    for place, (model, head) in enumerate(series):
        errors = np.abs(result.predictions[model, head] - data.labels)[tested]
        means = np.bincount(inverse, errors) / counts
        order = np.argsort(means, kind="stable") if order is None else order
        colour = "#999" if model == "dummy" else COLOURS[(place - 1) % len(COLOURS)]
        # points, as one group has nothing to do with the next
        axes.plot(
            means[order], "o", ms=4 if len(names) < 200 else 2, color=colour, label=f"{model} ({head})", alpha=0.8
        )
    axes.set(xlabel=f"{len(names)} zoom-14 groups, ordered by Dummy's error", title="error by group")
    axes.legend(frameon=False, fontsize=8)
