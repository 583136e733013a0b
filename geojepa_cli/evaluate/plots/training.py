"""Plot of the metrics of a training run by step.

The left column shows the loss and its terms, and below them, on the same axis, the schedules: learning rate, EMA
momentum and weight decay. The right column shows the figures of the monitor. Red lines mark warnings of a collapse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
WARNING = "#b5482f"
_STRIP, _PANEL = 1.0, 2.1  # heights of a panel in inches


class Panel(NamedTuple):
    """Panel of the plot.

    Attributes:
        title: title of the panel.
        curves: metrics to show, with their labels. A metric that no line has is left out.
        height: height relative to the other panels of the column.
        log: logarithmic axis.
        rest: also show all metrics that no panel shows. These are the terms of the loss.
        include: values that the axis must include.
    """

    title: str
    curves: Mapping[str, str]
    height: float = _PANEL
    log: bool = False
    rest: bool = False
    include: tuple[float, ...] = ()


class Layout(NamedTuple):
    """Panels of the plot in two columns, from top to bottom."""

    left: tuple[Panel, ...]
    right: tuple[Panel, ...]


_RATE = Panel("learning rate", {"lr": "learning rate"}, _STRIP)
_DECAY = Panel("weight decay", {"weight_decay": "weight decay"}, _STRIP)
TRAINING = Layout(
    left=(
        Panel("loss", {"loss": "total", "prediction": "prediction", "prediction_tile": "prediction of tiles"}),
        Panel("terms of the loss, without their weights", {"grad_norm": "gradient norm"}, log=True, rest=True),
        _RATE,
        Panel("EMA momentum", {"ema_momentum": "EMA momentum"}, _STRIP),
        _DECAY,
    ),
    right=(
        Panel(
            "effective rank (RankMe)",
            {"rankme_tiles": "tiles", "rankme_tokens": "entities", "rankme_image": "image patches"},
            include=(0,),
        ),
        Panel(
            "online probe on held-out tiles (R²)",
            {
                **{"probe_buildings": "buildings, linear", "knn_buildings": "buildings, kNN"},
                **{"probe_tags": "tags, linear", "knn_tags": "tags, kNN"},
            },
            include=(0,),
        ),
        Panel(
            "spread",
            {
                **{"spread_tiles": "spread of tiles", "spread_tokens": "spread of entities"},
                **{"spread_image": "spread of patches", "std_tiles": "deviation of tiles"},
                **{"std_tokens": "deviation of entities", "std_image": "deviation of patches"},
            },
        ),
        Panel(
            "similarity, dead dimensions, use of modalities",
            {
                **{"similarity_within": "within tiles", "similarity_between": "between tiles"},
                **{"dead_tiles": "dead, tiles", "dead_tokens": "dead, entities", "dead_image": "dead, patches"},
                **{f"sensitivity_{name}": f"uses {name}" for name in ("tags", "image", "geometry")},
            },
            include=(0, 1),
        ),
    ),
)
GEOMETRY = Layout(
    left=(
        Panel(
            "loss",
            {"loss": "training", "loss_unseen_fonts": "unseen fonts", "loss_unseen_instances": "unseen instances"},
        ),
        _RATE,
        _DECAY,
    ),
    right=(
        Panel(
            "accuracy",
            {
                "accuracy": "training",
                "accuracy_unseen_fonts": "unseen fonts",
                "accuracy_unseen_instances": "unseen instances",
            },
            include=(0, 1),
        ),
        Panel("gradient norm", {"grad_norm": "gradient norm"}, log=True),
    ),
)
_NO_CURVE = ("step", "epoch", "tokens", "tiles", "done", "similarity_tokens", "probe", "knn", "variance_m")  # prefixes


def plot_metrics(lines: Lines, path: Path, title: str, layout: Layout = TRAINING) -> None:
    """Plots the metrics of a training run by step. The same metrics always give the same bytes.

    Args:
        lines: entries of `metrics.jsonl`.
        path: PNG file to write.
        title: title of the plot.
        layout: panels of the plot.
    """
    from matplotlib.figure import Figure

    from geojepa_cli.evaluate.plots.style import save_png

    heights = [sum(panel.height for panel in column) for column in layout]
    figure = Figure(figsize=(13, max(heights) + 0.9 * max(map(len, layout))), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    shown = {name for column in layout for panel in column for name in panel.curves}
    rest = [name for name in _names(lines) if name not in shown and not name.startswith(_NO_CURVE)]
    for part, panels in zip(figure.subfigures(1, 2, squeeze=False).flat, layout, strict=True):
        column = part.subplots(len(panels), 1, sharex=True, height_ratios=[panel.height for panel in panels])
        for axes, panel in zip(column, panels, strict=True):
            curves = {**panel.curves, **({name: name.replace("_", " ") for name in rest} if panel.rest else {})}
            _draw(axes, lines, panel, curves)
        column[-1].set_xlabel("step")
    for axes in figure.axes:
        axes.set_xlim(lines[0]["step"], max(lines[-1]["step"], 1))
    _mark_warnings(figure, lines)
    save_png(figure, path, dpi=100)


def _draw(axes: Axes, lines: Lines, panel: Panel, curves: Mapping[str, str]) -> None:
    axes.set_title(panel.title, fontsize=10, loc="left")
    drawn = 0
    for name, label in curves.items():
        points = [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]
        if points and not (panel.log and max(y for _, y in points) <= 0):
            steps, values = zip(*points, strict=True)
            style = "-" if drawn < 10 else "--"  # matplotlib has ten colours
            axes.plot(steps, values, style, label=label, lw=1.3, marker="." if len(points) < 3 else None)
            drawn += 1
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if panel.log and drawn:
        axes.set_yscale("log", nonpositive="mask")
    if panel.include and drawn:
        axes.update_datalim([(lines[0]["step"], value) for value in panel.include])
        axes.autoscale_view()
    if drawn > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    elif not drawn:
        axes.text(0.5, 0.5, "not in this run", transform=axes.transAxes, ha="center", va="center", color="#999")
        axes.set_yticks([])


def _mark_warnings(figure: Figure, lines: Lines) -> None:
    """Draws a red line at each step with a warning. The words of the first four warnings are below the panels."""
    warned = [(line["step"], line["warnings"]) for line in lines if line.get("warnings")]
    for axes in figure.axes:
        for step, _ in warned:
            axes.axvline(step, color=WARNING, lw=0.9, ls=":")
    words = [sentence for _, sentences in warned for sentence in sentences]
    if words:
        more = [f"and {len(words) - 4} more"] if len(words) > 4 else []
        figure.supxlabel("\n".join([*words[:4], *more]), x=0.02, ha="left", fontsize=9, color=WARNING)


def _names(lines: Lines) -> list[str]:
    """Returns the names of all metrics, in the order of the log."""
    return list(dict.fromkeys(name for line in lines for name, value in line.items() if isinstance(value, int | float)))
