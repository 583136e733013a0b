"""Plots of a task: co-occurrence of tags with the label and with each other, and statistics of the task's tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from geojepa_cli.evaluate.plots.style import COLOURS, plain, save_png
from geojepa_cli.tasks.analysis import Analysis
from geojepa_cli.tasks.statistics import add_histograms

_STATES = {"hidden": "#b5482f", "partly": "#a9832a", "left": "#222222"}
_LEGEND = {"hidden": "hidden by the mask", "partly": "partly hidden", "left": "visible"}
_LONGEST = 30
_GREY, _NEVER = "#efece6", "#c3ccd8"
_PARTS = {"train": COLOURS[0], "val": COLOURS[4], "test": COLOURS[1], "buffer": COLOURS[2]}


def plot_cooccurrence(analysis: Analysis, title: str, path: Path) -> None:
    """Plots two heat maps of pairs of tags: both tags on the same entity, and on different entities of a tile.

    Colours show log2 of the lift (observed frequency of a pair divided by the frequency expected by chance). The first
    row and column show the lift of each tag with the label.

    Args:
        analysis: result of `tasks.analysis.analyze`.
        title: title of the plot.
        path: PNG file to write.
    """
    tags, lifts = analysis.map_tags, analysis.lifts
    side = 2.6 + 0.29 * (len(tags) + 1)
    figure = Figure(figsize=(2 * side + 1.4, side + 0.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, pairs, label, first, what, most in (
        (left, lifts.same, lifts.same_label, "counts for the label", "on the same entity", 6),
        (right, lifts.apart, lifts.apart_label, "label is high", "on different entities of a tile", 3),
    ):
        image = _heat(axes, _with_label(pairs, label), (first, *_names(tags)), tags, most)
        axes.set_title(what, fontsize=11)
        bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=24, pad=0.02)
        bar.set_ticks(
            [-most, 0, most], labels=[f"1/{2**most} or less", "as expected by chance", f"{2**most} times or more"]
        )
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=8, length=0)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    handles = [matplotlib.patches.Patch(color=colour, label=_LEGEND[state]) for state, colour in _STATES.items()]
    handles.append(matplotlib.patches.Patch(color=_NEVER, label="never together"))
    handles.append(matplotlib.patches.Patch(color=_GREY, label="too few to compare"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=10)
    save_png(figure, path, dpi=120)


def plot_statistics(reports: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """Plots labels by split, entities per tile, the most common tags, and the dropped tiles and entities by reason.

    Args:
        reports: content of `report.json` of the task in each region; the numbers of all regions are summed.
        title: title of the plot.
        path: PNG file to write.
    """
    figure = Figure(figsize=(12.5, 8.4), layout="constrained")
    (labels, entities), (tags, dropped) = figure.subplots(2, 2)
    _labels(labels, reports)
    found = add_histograms([report["statistics"]["entities_per_tile"]["histogram"] for report in reports])
    entities.bar(range(len(found)), list(found.values()), 0.8, color=COLOURS[0])
    entities.set_xticks(range(len(found)), _bins(list(found)), fontsize=7)
    entities.set(title="entities per tile", ylabel="tiles")
    common: dict[str, int] = {}
    for report in reports:
        for entry in report["statistics"]["tags"]:
            common[entry["tag"]] = common.get(entry["tag"], 0) + entry["entities"]
    _bars(tags, sorted(common.items(), key=lambda item: (-item[1], item[0]))[:15], COLOURS[0])
    tags.set(title="most common tags", xlabel="entities")
    reasons: dict[str, int] = {}
    for report in reports:
        thinned = {"label-0 tiles thinned out": report["tiles"]["eligible"] - report["tiles"]["kept"]}
        for reason, count in {**report["views"]["masked"], **thinned}.items():
            reasons[reason] = reasons.get(reason, 0) + count
    shown = sorted(
        ((reason, n) for reason, n in reasons.items() if n), key=lambda item: ("tiles" not in item[0], -item[1])
    )
    _bars(dropped, shown, COLOURS[1], longest=60)
    dropped.set(title="dropped", xlabel="tiles or entities (logarithmic)", xscale="log")
    for axes in (labels, entities, tags, dropped):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(11)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    save_png(figure, path, dpi=120)


def _labels(axes: Axes, reports: Sequence[Mapping[str, Any]]) -> None:
    """Plots a histogram of labels with stacked bars, one colour for each split."""
    parts: dict[str, dict[float | None, int]] = {}
    names = list(reports[0]["splits"])
    for name in names:
        parts[name] = add_histograms([report["splits"][name]["histogram"] for report in reports])
    used = [bound for bound in parts[names[0]] if any(part[bound] for part in parts.values())]
    base = np.zeros(len(used))
    texts = dict(zip(parts[names[0]], _bins(list(parts[names[0]])), strict=True))
    for name, part in parts.items():
        heights = np.array([part[bound] for bound in used], float)
        axes.bar(range(len(used)), heights, 0.8, base, color=_PARTS[name], label=f"{name} ({int(heights.sum()):,})")
        base += heights
    axes.set_xticks(range(len(used)), [texts[bound] for bound in used], fontsize=8)
    unit = f" ({reports[0]['unit']})" if reports[0]["unit"] else ""
    axes.set(title=f"tiles by label{unit}", ylabel="tiles")
    axes.legend(frameon=False, fontsize=9)


def _bars(axes: Axes, rows: Sequence[tuple[str, int]], colour: str, longest: int = _LONGEST) -> None:
    places = range(len(rows))
    axes.barh(places, [count for _, count in rows], 0.72, color=colour)
    axes.set_yticks(places, [_cut(name, longest) for name, _ in rows], fontsize=8)
    axes.invert_yaxis()
    for place, (_, count) in zip(places, rows, strict=True):
        axes.annotate(f" {count:,}", (count, place), va="center", fontsize=7, color="#555555")
    axes.margins(x=0.14)


def _heat(
    axes: Axes, lifts: NDArray[np.float64], names: Sequence[str], tags: Sequence[tuple[str, str]], most: int
) -> AxesImage:
    """Plots a heat map of log2(lift): how often two tags occur together, relative to chance.

    Values are limited to the range from -`most` to `most`.
    """
    with np.errstate(divide="ignore"):
        shown = np.clip(np.log2(lifts), -most, most)
    shown[lifts == 0] = -most - 1
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad=_GREY, under=_NEVER)
    norm = TwoSlopeNorm(0.0, -most, most)
    image = axes.imshow(np.ma.masked_invalid(shown), cmap=colours, norm=norm, interpolation="nearest")
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    states = ["left", *(state for _, state in tags)]
    for label, state in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], [*states, *states], strict=True):
        label.set_color(_STATES[state])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        labels[0].set_fontweight("bold")
    axes.set_xticks(np.arange(len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=0.8)
    axes.tick_params(which="both", length=0)
    for line in (axes.axhline, axes.axvline):
        line(0.5, color="#222222", lw=1.2)
    axes.spines[:].set_visible(False)
    return image


def _with_label(pairs: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adds a first row and a first column to a matrix of lifts: the lifts of each tag with the label.

    A lift is the frequency of two events together, divided by the frequency expected by chance. The diagonal is NaN.
    """
    whole = np.full((len(label) + 1, len(label) + 1), np.nan)
    whole[1:, 1:] = pairs
    whole[0, 1:] = whole[1:, 0] = label
    np.fill_diagonal(whole, np.nan)
    return whole


def _names(tags: Sequence[tuple[str, str]]) -> list[str]:
    return [_cut(tag) for tag, _ in tags]


def _cut(text: str, longest: int = _LONGEST) -> str:
    return plain(text if len(text) <= longest else text[: longest - 1] + "…")


def _bins(bounds: Sequence[float | None]) -> list[str]:
    return [f"> {bounds[i - 1]:,g}" if bound is None else f"≤ {bound:,g}" for i, bound in enumerate(bounds)]
