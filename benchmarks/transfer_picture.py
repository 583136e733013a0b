"""Draws the scores of `transfer.py`, and prints them as a Markdown table.

    python benchmarks/transfer.py --workspace workspace --split final --out final.json
    python benchmarks/transfer_picture.py final.json docs/transfer.png

The picture shows the linear head with predictions in two parts. Pretrained models have another colour than the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.console import counted
from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png
from geojepa_cli.evaluate.predictions import DUMMY
from geojepa_cli.evaluate.protocols import NO_PRETRAINING
from geojepa_cli.sources.extract import OSM_ATTRIBUTION

PARTS = ("masked", "plain")
HEAD = "linear two-part"
TASK_NAMES = {"traffic_signals": "signals", "building_count": "buildings"}


class Score(NamedTuple):
    """Score of a model: mean over tasks of MAE / MAE of Dummy, with a 95 % interval."""

    name: str
    value: float
    low: float
    high: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the result, prints the table, writes the picture."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        raise SystemExit(f"error: expected RESULT.json and PICTURE.png\n\n{__doc__}")
    result = json.loads(Path(given[0]).read_text(encoding="utf-8"))
    if any(HEAD not in result[part] for part in PARTS):
        raise SystemExit(f"error: `{given[0]}` has no scores of the head `{HEAD}`; run transfer.py with --head linear")
    print("\n".join(table(result)))
    draw(result, Path(given[1]))


def read_scores(result: dict[str, Any], part: str, head: str = HEAD) -> list[Score]:
    """Returns the scores of a part (`masked` or `plain`) and a head, the best first.

    The interval is that of the paired difference from Dummy, whose score is 1.
    """
    found = []
    for name, one in result[part][head].items():
        if isinstance(one, dict):
            against = one["differences"][DUMMY]
            found.append(Score(name, one["score"], 1 + against["low"], 1 + against["high"]))
    return sorted(found, key=lambda one: one.value)


def table(result: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of a Markdown table: score, interval and score of each task, by head, masked and plain."""
    tasks = _tasks(result)
    yield "| | head | model | score (95 % interval) | " + " | ".join(TASK_NAMES.get(one, one) for one in tasks) + " |"
    yield "| --- " * (4 + len(tasks)) + "|"
    for part in PARTS:
        for head in result[part]:
            for one in read_scores(result, part, head):
                by_task = result[part][head][one.name]["by_task"]
                cells = [part, head, one.name, f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"]
                yield "| " + " | ".join([*cells, *(f"{by_task[task]:.3f}" for task in tasks)]) + " |"


def _tasks(result: dict[str, Any]) -> list[str]:
    return list(next(one for one in result["masked"][HEAD].values() if isinstance(one, dict))["by_task"])


def draw(result: dict[str, Any], target: Path) -> None:
    """Writes the picture: the scores of all models with their intervals, masked on the left and plain on the right."""
    models = len(read_scores(result, "masked"))
    figure = Figure(figsize=(10, 1.6 + 0.32 * models), layout="constrained")
    names = ", ".join(one.rpartition("/")[2].partition("@")[0] for one in result["regions"])
    groups, seeds = result["masked"][HEAD]["groups"], counted(result["seeds"], "training seed")
    figure.suptitle(
        f"Transfer: errors on regions that no model saw ({names})\nlinear head in two parts, mean over "
        f"{len(_tasks(result))} tasks of MAE / MAE of Dummy, {groups} groups, {seeds}",
        fontsize=10,
    )
    for axes, part in zip(figure.subplots(1, len(PARTS)), PARTS, strict=True):
        _draw_part(axes, read_scores(result, part), part, result["protocols"])
    figure.supxlabel(
        f"lower is better; 95 % intervals over groups; blue: pretrained, orange: not. Map data {OSM_ATTRIBUTION}",
        fontsize=8,
        color=GREY,
    )
    save_png(figure, target, dpi=110)


def _draw_part(axes: Axes, scores: Sequence[Score], part: str, protocols: Mapping[str, str]) -> None:
    for row, one in enumerate(reversed(scores)):
        colour = COLOURS[1] if protocols[one.name] == NO_PRETRAINING else COLOURS[0]
        axes.plot([one.low, one.high], [row, row], color=colour, linewidth=1.4)
        axes.plot(one.value, row, "o", color=colour, markersize=5)
        axes.annotate(f"{one.value:.3f}", (one.high, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(scores)), [one.name for one in reversed(scores)], fontsize=8)
    axes.set_title("masked: what reveals the label is hidden" if part == "masked" else "plain", fontsize=9)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
