"""Output of `probe --retrieval entity-image` and `probe --offset`: figures of GAIR models, and paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.protocols import print_protocols
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"
MEANINGS = {
    "points to tags": "which of the sets of tags of these entities is at the point?",
    "tags to points": "at which of the points of these entities are the tags?",
}
SHORT = {"recall_1": "recall@1", "recall_10": "recall@10", "reciprocal_rank": "MRR"}


def print_entity_image(report: dict[str, Any], made: Artifact) -> None:
    """Prints the figures of the searches between points of images and tags.

    Args:
        report: content of the `report.json`.
        made: artifact of the probe.
    """
    from geojepa_cli.evaluate.protocols import SEEN
    from geojepa_cli.evaluate.retrieval_report import RANDOM

    for one in report["searches"]:
        columns = ["model", "reading", "protocol", *_figure_columns(SHORT)]
        rows = [[RANDOM, NONE, NONE, *_with_intervals(one["random"], SHORT)]]
        for score in one["scores"]:
            protocol = report["models"][score["model"]]["protocol"]
            rows.append([score["model"], score["reading"], protocol, *_with_intervals(score, SHORT)])
        where = "of the tile" if one["scope"] == "tile" else "of the zoom-14 tile"
        caption = f"{MEANINGS[one['search']]} {_counts(one['queries'], one['groups'])}"
        console.table(f"{one['search']}, entities {where}", columns, rows, caption=caption, red=(SEEN,))
    main = report["searches"][0]
    _print_differences(main["differences"], SHORT, lambda name, one: one[name], f"{main['search']}, {main['scope']}")
    _print_end(report, main["groups"], made)


def print_offset(report: dict[str, Any], made: Artifact) -> None:
    """Prints the curves of quality against the distance by which points are moved.

    Args:
        report: content of the `report.json`.
        made: artifact of the probe.
    """
    from geojepa_cli.evaluate.protocols import SEEN

    names = ("recall_1", "reciprocal_rank")
    distances = [f"{distance:g} m" for distance in report["distances_m"]]
    for name in names:
        columns = ["model", "reading", "decoder", "noise", *distances, "random"]
        rows = []
        for score in report["scores"]:
            about, curve = report["models"][score["model"]], score[name]["curve"]
            values = [f"{one['value']:.3f}" for one in (*curve, report["random"][name])]
            rows.append([*_names(score), about["decoder"], f"{about['coordinate_noise_m']:g} m", *values])
        caption = f"the tags found at a moved point are compared with those of the entity; {report['moved_points']:,} "
        caption += f"points and directions; {_counts(report['queries'], report['groups'])}"
        console.table(f"{SHORT[name]} against distance", columns, rows, caption=caption)
    columns = ["model", "reading", "protocol", "figure", "best at", "Spearman", "half of the excess over 160 m lost at"]
    rows = []
    for score in report["scores"]:
        for name in names:
            one, protocol = score[name], report["models"][score["model"]]["protocol"]
            best = NONE if one["best_m"] is None else f"{one['best_m']:g} m"
            half = _interval(one["half_distance_m"], ".0f", " m")
            rows.append([*_names(score), protocol, SHORT[name], best, _interval(one["spearman"], ".2f"), half])
    console.table("shape of the curves, with 95 % intervals over groups", columns, rows, red=(SEEN,))
    _print_differences(report["differences"], names, lambda name, one: one[name][0], "at 0 m")
    _print_end(report, report["groups"], made)


def _print_end(report: dict[str, Any], groups: int, made: Artifact) -> None:
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS

    print_protocols(report, "to test on unseen tiles: name a region that the model was not pretrained on")
    if groups < FEW_TEST_GROUPS:
        tested = console.counted(groups, "zoom-14 group")
        console.print_line(f"no claim: {tested} with queries, expected at least {FEW_TEST_GROUPS}")
    print_path(made)


def _print_differences(differences: Sequence[Mapping[str, Any]], names: Iterable[str], value: Any, where: str) -> None:
    names = list(names)
    rows = []
    for one in differences:
        a, b = (one[side] for side in ("a", "b"))
        same = a["model"] == b["model"]
        what = f"{a['reading']} − {b['reading']}" if same else f"{a['model']} − {b['model']}"
        found = (value(name, one) for name in names)
        rows.append([what, a["model"] if same else a["reading"], *(_interval(one, "+.3f") for one in found)])
    if rows:
        columns = ["difference", "in", *(SHORT[name] for name in names)]
        console.table(f"paired differences with 95 % intervals over groups ({where})", columns, rows)


def _names(score: Mapping[str, Any]) -> list[str]:
    return [score["model"], score["reading"]]


def _counts(queries: int, groups: int) -> str:
    of = console.counted(groups, "zoom-14 group")
    return f"{console.counted(queries, 'query', 'queries')} in {of}"


def _figure_columns(names: Iterable[str]) -> list[str]:
    return [column for name in names for column in (SHORT[name], "95 % interval")]


def _with_intervals(score: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    found = (score[name] for name in names)
    return [text for one in found for text in (f"{one['value']:.3f}", f"{one['low']:.3f} – {one['high']:.3f}")]


def _interval(found: Mapping[str, float] | None, form: str, unit: str = "") -> str:
    if found is None:
        return NONE
    return f"{found['value']:{form}}{unit} ({found['low']:{form}} – {found['high']:{form}})"
