"""Plots for `geojepa probe` and `geojepa report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import NDArray

from geojepa_cli.console import counted
from geojepa_cli.evaluate.folds import ProbeData
from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.evaluate.probe import ProbeResult
from geojepa_cli.evaluate.protocols import SEEN

SEEN_COLOUR = "#d62728"


def plot_probe(
    data: ProbeData, result: ProbeResult, title: str, unit: str, path: Path, protocols: Mapping[str, str]
) -> None:
    """Plots predicted against true labels for the best prediction head of each model, and the MAE in each zoom-14 tile.

    Args:
        data: labels and splits of the tested task.
        result: predictions and scores of the probe.
        title: title of the task.
        unit: unit of the labels, or an empty string.
        path: PNG file to write.
        protocols: protocol of each model. The protocol `seen` is red in the legend.
    """
    best = best_heads(result)
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    tested = (result.fold >= 0) & data.kept
    for place, (model, head) in enumerate(best.items()):
        predicted = (result.unrounded or result.predictions)[model, head].mean(axis=0)[tested]
        # many tiles have the same label: random shifts with a fixed seed separate their points
        jitter = np.random.default_rng(place).uniform(-0.15, 0.15, len(predicted))
        spread = jitter * (1.0 if not data.binary else 0.6)
        colour = COLOURS[place % len(COLOURS)]
        left.scatter(
            data.labels[tested] + spread,
            predicted,
            s=9,
            alpha=0.45,
            lw=0,
            color=colour,
            label=f"{model} ({head}, {protocols[model]})",
        )
    ends = [float(data.labels[tested].min()), float(data.labels[tested].max())]
    left.plot(ends, ends, color=GREY, lw=1, ls="--", zorder=0)
    suffix = f" ({unit})" if unit else ""
    left.set(xlabel=f"true{suffix}", ylabel=f"predicted{suffix}", title=title)
    _mark_seen(left.legend(frameon=False, fontsize=8), [protocols[model] for model in best])
    _errors_by_group(right, data, result, best, tested)
    right.set_ylabel(f"MAE{suffix}")
    save_png(figure, path, dpi=130)


def plot_report(
    scores: Mapping[str, float],
    relative: Mapping[str, Mapping[str, float]],
    title: str,
    path: Path,
    protocols: Mapping[str, str],
) -> None:
    """Draws a bar chart with one bar for each task and model.

    The height of a bar is the MAE of the model divided by the MAE of the baseline Dummy, which predicts the median.

    Args:
        scores: score of each model; models are drawn in this order, lowest (best) score first.
        relative: MAE divided by the MAE of Dummy, as `relative[model][task]`; NaN draws no bar.
        title: title of the plot.
        path: PNG file to write.
        protocols: protocol of each model. Bars of the protocol `seen` have a red edge.
    """
    tasks = sorted({task for by_task in relative.values() for task in by_task})
    models = sorted(scores, key=lambda model: (scores[model], model))
    figure = Figure(figsize=(max(6.0, 1.6 * len(tasks) + 2), 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(models))
    for place, model in enumerate(models):
        values = [relative[model].get(task, float("nan")) for task in tasks]
        x = np.arange(len(tasks)) + (place - (len(models) - 1) / 2) * width
        edge = SEEN_COLOUR if protocols[model] == SEEN else "none"
        label = f"{model}: {scores[model]:.3f}, {protocols[model]}"
        axes.bar(x, values, width, color=COLOURS[place % len(COLOURS)], label=label, edgecolor=edge, linewidth=1.5)
    axes.axhline(1.0, color=GREY, lw=1, ls="--")
    axes.set_xticks(np.arange(len(tasks)), [task.replace("_", "\n") for task in tasks])
    axes.set(ylabel="MAE / MAE of Dummy", title=title)
    legend = axes.legend(frameon=False, fontsize=8, title="model: mean over tasks, protocol")
    _mark_seen(legend, [protocols[model] for model in models])
    save_png(figure, path, dpi=130)


def _mark_seen(legend: Legend, protocols: Sequence[str]) -> None:
    for text, protocol in zip(legend.get_texts(), protocols, strict=True):
        if protocol == SEEN:
            text.set_color(SEEN_COLOUR)


def best_heads(result: ProbeResult) -> dict[str, str]:
    """Returns for each model, except the baseline Dummy, the name of the prediction head with the lowest MAE."""
    best: dict[str, tuple[float, str]] = {}
    for score in result.scores[1:]:
        best[score.model] = min(best.get(score.model, (np.inf, "")), (score.mae.value, score.head))
    return {model: head for model, (_, head) in best.items()}


def _errors_by_group(
    axes: Axes, data: ProbeData, result: ProbeResult, best: Mapping[str, str], tested: NDArray[np.bool_]
) -> None:
    names, inverse = np.unique(data.groups[tested], return_inverse=True)
    counts = np.bincount(inverse)
    series: Sequence[tuple[str, str]] = [(DUMMY, DUMMY_HEAD), *best.items()]
    order = None
    for place, (model, head) in enumerate(series):
        errors = np.abs(result.predictions[model, head] - data.labels).mean(axis=0)[tested]
        means = np.bincount(inverse, errors) / counts
        order = np.argsort(means, kind="stable") if order is None else order
        colour = GREY if model == DUMMY else COLOURS[(place - 1) % len(COLOURS)]
        # points instead of a line, because neighbouring groups on this axis are unrelated
        axes.plot(
            means[order], "o", ms=4 if len(names) < 200 else 2, color=colour, label=f"{model} ({head})", alpha=0.8
        )
    axes.set(xlabel=f"{counted(len(names), 'zoom-14 group')}, ordered by Dummy's error", title="error by group")
    axes.legend(frameon=False, fontsize=8)
