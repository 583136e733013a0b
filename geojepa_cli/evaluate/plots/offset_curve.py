"""Plot for `geojepa probe --offset`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png
from geojepa_cli.models.gair.readings import AT_POINT

PANELS = {"recall_1": "recall@1", "reciprocal_rank": "mean reciprocal rank"}


def plot_offset(report: Mapping[str, Any], path: Path) -> None:
    """Plots recall@1 and mean reciprocal rank of each model against the distance, with their intervals.

    Args:
        report: content of `report.json`.
        path: PNG file to write.
    """
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    distances = report["distances_m"]
    names = list(dict.fromkeys(score["model"] for score in report["scores"]))
    for axes, (name, label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for score in report["scores"]:
            trained = score["reading"] == AT_POINT
            colour, curve = COLOURS[names.index(score["model"]) % len(COLOURS)], score[name]["curve"]
            values = [one["value"] for one in curve]
            shown = score["model"] if trained else f"{score['model']}, {score['reading']}"
            axes.plot(distances, values, "o-" if trained else ":", color=colour, label=shown)
            if trained:
                low, high = ([one[end] for one in curve] for end in ("low", "high"))
                axes.fill_between(distances, low, high, color=colour, alpha=0.15, lw=0)
        axes.axhline(report["random"][name]["value"], color=GREY, lw=1.0, ls="--", label="random order")
        axes.set(xlabel="distance by which the point is moved (m)", ylabel=label)
        axes.set_ylim(bottom=0.0)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    save_png(figure, path, dpi=130)
