"""Plots of a report as inline SVG and HTML. They contain no text, so that they stay readable in a narrow window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.report_tiles import ErrorMap, RowTiles
from geojepa_cli.grid import tiles_bounds
from geojepa_cli.pages.neighbours.locator import find_clusters

COLOURS = ("#2b5f75", "#d98a5b", "#5b8c5a", "#a45cb0", "#8a6a3a", "#4a74c9")
ERROR_COLOURS = ("#fde3c8", "#f8b57c", "#e8794a", "#c23f30", "#74161f")
MAX_PANELS = 6
_SIDE = 200.0  # of a scatter plot, in units of its SVG
_MARGIN = 8.0


def nice_end(values: Sequence[float]) -> float:
    """Returns the end of an axis that starts at 0: the largest value, rounded up to two digits."""
    most = max(values, default=0.0)
    if most <= 0:
        return 1.0
    step = 10.0 ** (np.floor(np.log10(most)) - 1)
    return float(f"{np.ceil(most / step) * step:.3g}")


def interval_bar(value: float, low: float, high: float, dummy: float, most: float, seen: bool) -> str:
    """Draws a value with its interval on an axis from 0 to `most`. A dashed line marks the value of Dummy.

    Returns:
        An `<svg>` element.
    """
    scale = 100.0 / most if most > 0 else 0.0
    x, x0, x1, reference = (_n(min(100.0, max(0.0, one * scale))) for one in (value, low, high, dummy))
    colour = "#c0262d" if seen else COLOURS[0]
    return (
        '<svg class="interval" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{reference} 0V12" stroke="#666" stroke-width="1.5" stroke-dasharray="3 2" '
        'vector-effect="non-scaling-stroke"/>'
        f'<path d="M{x0} 6H{x1}" stroke="{colour}" stroke-width="2" vector-effect="non-scaling-stroke"/>'
        f'<path d="M{x} 2V10" stroke="{colour}" stroke-width="4" vector-effect="non-scaling-stroke"/></svg>'
    )


def dot_places(values: Mapping[str, float | None], most: float) -> dict[str, float]:
    """Returns the places of dots on an axis from 0 to `most`, in percent of its length. Leaves out missing values."""
    known = {name: value for name, value in values.items() if value is not None}
    return {name: round(100 * min(1.0, value / most), 2) if most > 0 else 0.0 for name, value in known.items()}


def scatter_ends(rows: Iterable[RowTiles]) -> tuple[float, float]:
    """Returns the smallest and the largest label or prediction of some rows, which is the range of their plots."""
    values = np.concatenate([part for row in rows for part in (row.labels, row.predicted)])
    return float(values.min()), float(values.max())


def draw_scatter(row: RowTiles, ends: tuple[float, float], binary: bool, colour: str) -> str:
    """Draws predicted (upwards) against true labels (to the right). A dashed line marks equal values.

    Args:
        row: labels and predictions. At most `MAX_POINTS` tiles are drawn.
        ends: smallest and largest value of both axes.
        binary: True if the labels are 0 and 1. Their points are shifted sideways at random, so that they do not
            cover each other.
        colour: colour of the points.

    Returns:
        An `<svg>` element.
    """
    low, high = ends
    scale = (_SIDE - 2 * _MARGIN) / ((high - low) or 1.0)
    shown = row.sample()
    labels = row.labels[shown]
    if binary:
        labels = labels + np.random.default_rng(0).uniform(-0.06, 0.06, len(labels))
    x = np.clip(_MARGIN + (labels - low) * scale, 2, _SIDE - 2)
    y = _SIDE - _MARGIN - (row.predicted[shown] - low) * scale
    points = "".join(f"M{_n(px)} {_n(py)}h0" for px, py in zip(x.tolist(), y.tolist(), strict=True))
    far = _n(_SIDE - _MARGIN)
    return (
        f'<svg class="scatter" viewBox="0 0 {_n(_SIDE)} {_n(_SIDE)}" role="img" aria-label="predicted against true">'
        f'<rect width="{_n(_SIDE)}" height="{_n(_SIDE)}" fill="#fff"/>'
        f'<path d="M{_n(_MARGIN)} {far}L{far} {_n(_MARGIN)}" stroke="#999" stroke-dasharray="4 4"/>'
        f'<path d="{points}" stroke="{colour}" stroke-opacity=".5" stroke-width="4.5" stroke-linecap="round"/></svg>'
    )


def draw_error_map(found: ErrorMap) -> tuple[list[str], int]:
    """Draws the squares of an error map, coloured by their error. Areas that lie far apart have separate maps.

    Returns:
        `<svg>` elements, and the number of areas that are not drawn because there are more than `MAX_PANELS`.
    """
    bounds = tiles_bounds(*found.squares.T)
    classes, total, panels = found.classes, len(found.bounds) + 1, []
    for panel in find_clusters(bounds):
        west, south = panel[:, 0].min(), panel[:, 1].min()
        east, north = panel[:, 2].max(), panel[:, 3].max()
        inside = (bounds[:, 0] >= west) & (bounds[:, 2] <= east) & (bounds[:, 1] >= south) & (bounds[:, 3] <= north)
        panels.append((-int(inside.sum()), _panel(found.squares[inside], classes[inside], total)))
    ordered = [svg for _, svg in sorted(panels)]
    return ordered[:MAX_PANELS], max(0, len(ordered) - MAX_PANELS)


def legend(found: ErrorMap) -> list[dict[str, Any]]:
    """Returns colour, lower and upper end of each class of an error map."""
    entry = found.to_json()
    ends = [entry["lowest"], *entry["bounds"], entry["highest"]]
    return [
        {"colour": _colour(place, len(ends) - 1), "low": low, "high": high}
        for place, (low, high) in enumerate(pairwise(ends))
    ]


def _panel(squares: NDArray[np.int64], classes: NDArray[np.int64], total: int) -> str:
    zoom = squares[:, 0].max()
    side = 2 ** (zoom - squares[:, 0])
    x, y = squares[:, 1] * side, squares[:, 2] * side
    x, y = x - x.min(), y - y.min()
    width, height = int((x + side).max()), int((y + side).max())
    paths = []
    for place in range(total):
        chosen = classes == place
        corners = zip(x[chosen].tolist(), y[chosen].tolist(), side[chosen].tolist(), strict=True)
        path = "".join(f"M{left} {top}h{one}v{one}h-{one}z" for left, top, one in corners)
        paths.append(f'<path d="{path}" fill="{_colour(place, total)}"/>' if path else "")
    return (
        f'<svg class="errors" viewBox="-1 -1 {width + 2} {height + 2}" role="img" aria-label="map of the errors">'
        f"{''.join(paths)}</svg>"
    )


def _colour(place: int, classes: int) -> str:
    """Returns the colour of an error class: the lightest for the smallest errors, the darkest for the largest."""
    return ERROR_COLOURS[round(place * (len(ERROR_COLOURS) - 1) / max(classes - 1, 1))]


def _n(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0")
