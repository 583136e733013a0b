"""Draws the result of `scale.py`, and prints it as a Markdown table.

python benchmarks/scale.py --workspace workspace --out scale.json
python benchmarks/scale_picture.py scale.json docs/scale.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scale import BASE, first
from benchmarks.transfer import SAME_POOLING
from benchmarks.transfer_scores import BOOSTED
from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png
from geojepa_cli.evaluate.predictions import DUMMY
from geojepa_cli.sources.extract import OSM_ATTRIBUTION

PARTS = {"masked": "linear two-part", "plain": "linear two-part"}  # head of each part
LINES = (SAME_POOLING, BOOSTED)


class Point(NamedTuple):
    """Score of a point of a curve.

    Attributes:
        variant: name of the variant.
        tokens: tokens that training saw, mean over training seeds; 0 for first weights.
        parameters: number of parameters of the encoder.
        score: mean over tasks of MAE / MAE of Dummy.
        low: lower end of the 95 % interval.
        high: upper end.
        first: difference from the first weights of the same size, with interval; None for first weights.
    """

    variant: str
    tokens: float
    parameters: int
    score: float
    low: float
    high: float
    first: tuple[float, float, float] | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the result, prints the table, writes the picture."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        raise SystemExit(f"error: expected RESULT.json and PICTURE.png\n\n{__doc__}")
    result = json.loads(Path(given[0]).read_text(encoding="utf-8"))
    print("\n".join(table(result)))
    draw(result, Path(given[1]))


def read_points(result: dict[str, Any], part: str) -> list[Point]:
    """Returns the points of a part (`masked` or `plain`), by variant and number of tokens."""
    found = []
    for name, about in result["points"].items():
        one = result[part][PARTS[part]][name]
        against = one["differences"]
        start = against.get(first(about["variant"]))
        difference = None if start is None else (start["value"], start["low"], start["high"])
        low, high = 1 + against[DUMMY]["low"], 1 + against[DUMMY]["high"]
        size = (about["variant"], about["tokens_seen"], about["parameters"])
        found.append(Point(*size, one["score"], low, high, difference))
    return sorted(found, key=lambda one: (one.variant, one.tokens))


def table(result: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    yield "| | model | parameters | tokens | score (95 % interval) | − its first weights |"
    yield "| --- " * 6 + "|"
    for part in PARTS:
        for one in read_points(result, part):
            difference = "" if one.first is None else "{:.3f} ({:.3f} to {:.3f})".format(*one.first)
            score = f"{one.score:.3f} ({one.low:.3f} to {one.high:.3f})"
            cells = [part, one.variant, f"{one.parameters:,}", f"{one.tokens:,.0f}", score, difference]
            yield f"| {' | '.join(cells)} |".replace("-0.", "−0.")
        for name in LINES:
            yield f"| {part} | {name} | | | {result[part][PARTS[part]][name]['score']:.3f} | |"


def draw(result: dict[str, Any], target: Path) -> None:
    """Writes the picture: scores against tokens on the left, against parameters on the right; masked above plain."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    names = ", ".join(one.rpartition("/")[2].partition("@")[0] for one in result["regions"])
    groups = result["masked"][PARTS["masked"]]["groups"]
    figure.suptitle(
        f"Errors on regions that no model saw ({names})\nlinear head in two parts, mean over five tasks of MAE / MAE "
        f"of Dummy, {groups} groups, {result['seeds']} training seeds",
        fontsize=10,
    )
    for (left, right), part in zip(figure.subplots(len(PARTS), 2, sharey="row"), PARTS, strict=True):
        _draw_tokens(left, read_points(result, part))
        _draw_sizes(right, read_points(result, part))
        left.set_ylabel(f"{part}: score", fontsize=9)
        for axes in (left, right):
            _draw_lines(axes, result, part)
        left.legend(fontsize=7)
    note = "lower is better; error bars: 95 % intervals of the difference from the first weights"
    figure.supxlabel(f"{note}. Map data {OSM_ATTRIBUTION}", fontsize=8, color=GREY)
    save_png(figure, target, dpi=110)


def _draw_tokens(axes: Axes, points: Sequence[Point]) -> None:
    curve = [one for one in points if one.variant == BASE]
    start = next(one for one in curve if one.first is None)
    trained = [one for one in curve if one.first is not None]
    tokens = [one.tokens for one in trained]
    axes.errorbar(tokens, [one.score for one in trained], _bars(trained), fmt="o-", color=COLOURS[0], label=BASE)
    axes.axhline(start.score, color=COLOURS[0], linestyle="--", linewidth=1, label="its first weights")
    _label_values(axes, tokens)
    axes.set_xlabel("training tokens", fontsize=9)


def _draw_sizes(axes: Axes, points: Sequence[Point]) -> None:
    others = [one for one in points if one.variant != BASE and one.first is not None]
    sizes = [*others, *_nearest(points, others)]
    for one in sizes:
        axes.errorbar([one.parameters], [one.score], _bars([one]), fmt="o", color=COLOURS[0])
        axes.annotate(one.variant, (one.parameters, one.score), (5, 3), textcoords="offset points", fontsize=8)
    untrained = [one for one in points if one.first is None]
    axes.plot([one.parameters for one in untrained], [one.score for one in untrained], "_", color=COLOURS[0])
    _label_values(axes, [one.parameters for one in sizes])
    axes.margins(x=0.15)
    axes.set_xlabel("parameters of the encoder (dash: first weights)", fontsize=9)


def _nearest(points: Sequence[Point], others: Sequence[Point]) -> list[Point]:
    """Returns the point of the basic size that saw about as many tokens as the other sizes."""
    trained = [one for one in points if one.variant == BASE and one.first is not None]
    return [min(trained, key=lambda one: abs(one.tokens - others[0].tokens))] if others else trained[-1:]


def _draw_lines(axes: Axes, result: dict[str, Any], part: str) -> None:
    for name, colour in zip(LINES, COLOURS[1:], strict=False):
        score = result[part][PARTS[part]][name]["score"]
        axes.axhline(score, color=colour, linestyle=":", linewidth=1.2, label=name)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _label_values(axes: Axes, values: Sequence[float]) -> None:
    """Makes the horizontal axis logarithmic, with labels at the values only."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,.0f}" for value in values])
    axes.minorticks_off()


def _bars(points: Sequence[Point]) -> list[list[float]]:
    """Returns the distances from the scores to the ends of the intervals of the differences from the first weights."""
    given = [one.first for one in points if one.first is not None]
    return [[value - low for value, low, _ in given], [high - value for value, _, high in given]]


if __name__ == "__main__":
    main()
