"""Plots for `geojepa probe-entities`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geojepa_cli.evaluate.entity_fitting import DUMMY
from geojepa_cli.evaluate.entity_probe import EntityResult
from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png


def plot_entity_probe(result: EntityResult, title: str, path: Path) -> None:
    """Plots the balanced accuracy of every model with its interval, and the recall of every class.

    Args:
        result: result of the probe.
        title: title of the plot.
        path: PNG file to write.
    """
    names = [score.model for score in result.scores]
    height = max(3.2, 0.36 * len(names) + 1.4)
    figure = Figure(figsize=(max(9.0, 5.5 + 0.55 * len(result.classes)), height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.3))
    places = np.arange(len(names))[::-1]
    for place, score in zip(places.tolist(), result.scores, strict=True):
        low, value, high = score.balanced.low, score.balanced.value, score.balanced.high
        colour = GREY if score.model == DUMMY else COLOURS[0]
        left.barh(place, value, color=colour, height=0.6)
        left.plot([low, high], [place, place], color="black", lw=1.2)
    left.set_yticks(places, names)
    left.set(xlabel="balanced accuracy", title=title, xlim=(0.0, 1.0))
    recalls = np.array([[np.nan if one is None else one for one in s.recall.values()] for s in result.scores])
    right.imshow(recalls, aspect="auto", cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), value in np.ndenumerate(recalls):
        if not np.isnan(value):
            colour = "white" if value > 0.6 else "black"
            right.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    right.set_yticks(np.arange(len(names)), [""] * len(names))
    right.set_xticks(np.arange(len(result.classes)), result.classes, rotation=40, ha="right", fontsize=8)
    right.set(title="recall by class")
    save_png(figure, path, dpi=130)


def plot_entity_curve(points: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Plots the figures of every model against the weight alpha, with their intervals.

    Args:
        points: points of the curve, as in `report.json`.
        title: title of the plot.
        path: PNG file to write.
    """
    panels = {"balanced": "balanced accuracy", "average_precision": "mean average precision"}
    names = list(dict.fromkeys(point["model"] for point in points))
    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    *scores, around = figure.subplots(1, 3)
    for place, name in enumerate(names):
        own = [point for point in points if point["model"] == name]
        alphas, colour = [point["alpha"] for point in own], COLOURS[place % len(COLOURS)]
        for axes, figure_name in zip(scores, panels, strict=True):
            found = [point[figure_name] for point in own]
            axes.plot(alphas, [one["value"] for one in found], "o-", color=colour, label=name)
            axes.fill_between(
                alphas, [one["low"] for one in found], [one["high"] for one in found], color=colour, alpha=0.15, lw=0
            )
        shares = [None if point["context"] is None else point["context"]["share"] for point in own]
        if None not in shares:
            around.plot(alphas, shares, "o-", color=colour, label=name)
    for axes, label in zip((*scores, around), (*panels.values(), "share of the surroundings"), strict=True):
        axes.set(xlabel="alpha (weight of the entity alone)", ylabel=label, ylim=(0.0, 1.0))
        axes.grid(alpha=0.3)
    scores[0].set(title=title)
    scores[0].legend(fontsize=8)
    if not around.lines:
        around.set_visible(False)
    save_png(figure, path, dpi=130)
