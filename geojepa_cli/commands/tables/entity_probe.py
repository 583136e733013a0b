"""Output of `probe-entities`: scores, paired differences, and remarks on their validity."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.protocols import print_protocols
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"
FIGURES = {"balanced": "balanced accuracy", "accuracy": "accuracy", "average_precision": "mean AP"}
SHOWN_TAGS = 5


def print_entity_probe(report: dict[str, Any], made: Artifact) -> None:
    """Prints the scores of an entity probe.

    Args:
        report: content of the probe's `report.json`.
        made: artifact of the probe.
    """
    from geojepa_cli.evaluate.protocols import SEEN

    columns = [
        "model",
        "protocol",
        "balanced accuracy",
        "95 % interval",
        "accuracy",
        "mean AP",
        "95 % interval of AP",
        "accuracy without visible tags",
    ]
    rows = [_row(score) for score in report["scores"]]
    hidden = "tags hidden on all entities" if report["hide"] == "all" else "tags hidden on the probed entities only"
    title = f"{report['title']} ({report['task']}, {hidden})"
    console.table(title, columns, rows, caption=_caption(report), red=(SEEN,))
    _print_classes(report)
    _print_differences(report)
    print_protocols(report, "to test on unseen entities: name regions that the model was not pretrained on")
    bare = report["entities_without_visible_tags"]
    console.print_line(f"{bare:,} of {report['entities']:,} tested entities have no visible tag")
    if report["rare_classes_left_out"]:
        rare = ", ".join(_rare(name, count) for name, count in report["rare_classes_left_out"].items())
        console.print_line(f"classes left out because they have too few training examples: {rare}")
    tags = [f"`{one['tag']}` ({one['bits']:.3f} bits)" for one in report["informative_tags"][:SHOWN_TAGS]]
    if tags:
        console.print_line(f"most informative visible tags: {', '.join(tags)}")
    _print_context(report)
    _print_curve(report)
    print_path(made)


def _caption(report: dict[str, Any]) -> str:
    seeds = f"; mean over {report['seeds']} seeds" if report["seeds"] > 1 else ""
    return f"{report['evaluation_description']}{seeds}"


def _difference(found: dict[str, float]) -> str:
    return f"{found['value']:+.3f} ({found['low']:+.3f} – {found['high']:+.3f})"


def _rare(name: str, count: dict[str, int]) -> str:
    of = console.counted(count["entities_with_tag"], "entity", "entities")
    return f"{name} ({console.counted(count['examples'], 'example')} of {of})"


def _row(score: dict[str, Any]) -> list[str]:
    balanced, precision, bare = score["balanced"], score["average_precision"], score["bare_accuracy"]
    return [
        score["model"],
        score["protocol"],
        f"{balanced['value']:.3f}",
        f"{balanced['low']:.3f} – {balanced['high']:.3f}",
        f"{score['accuracy']['value']:.3f}",
        f"{precision['value']:.3f}",
        f"{precision['low']:.3f} – {precision['high']:.3f}",
        NONE if bare is None else f"{bare:.3f}",
    ]


def _print_classes(report: dict[str, Any]) -> None:
    names = [score["model"] for score in report["scores"]]
    rows = []
    for found in report["classes"]:
        recalls = [score["recall"][found["class"]] for score in report["scores"]]
        shown = [NONE if one is None else f"{one:.2f}" for one in recalls]
        rows.append([found["class"], f"{found['tested']:,}", f"{found['tested_groups']:,}", *shown])
    console.table("recall by class", ["class", "tested", "groups", *names], rows)


def _print_differences(report: dict[str, Any]) -> None:
    rows = []
    for found in report["differences"]:
        rows.append([f"{found['a']} − {found['b']}", *(_difference(found[name]) for name in FIGURES)])
    columns = ["models", *FIGURES.values()]
    console.table("paired differences with 95 % intervals over groups", columns, rows)


def _print_context(report: dict[str, Any]) -> None:
    for model, shifts in report.get("context", {}).items():
        rows = [
            [
                shift["name"],
                f"{shift['entities']:,}",
                f"{shift['tags']:.3f}",
                f"{shift['surroundings']:.3f}",
                NONE if shift["share"] is None else f"{shift['share']:.3f}",
            ]
            for shift in shifts
        ]
        columns = ["class", "entities", "other tags", "other surroundings", "share of surroundings"]
        title = f"{model}: shift of vectors, relative to the mean distance between entities"
        console.table(title, columns, rows)


def _print_curve(report: dict[str, Any]) -> None:
    rows = []
    for point in report.get("curve", []):
        context, cells = point["context"], []
        for name in ("balanced", "average_precision"):
            cells += [f"{point[name]['value']:.3f}", _difference(point["difference"][name]) if point["alpha"] else NONE]
        share = NONE if context is None or context["share"] is None else f"{context['share']:.3f}"
        rows.append([point["model"], f"{point['alpha']:g}", *cells, share])
    if rows:
        change = "− alpha 0"
        columns = ["model", "alpha", "balanced accuracy", change, "mean AP", change, "share of surroundings"]
        title = "weight alpha of the entity alone, from 0 (in its surroundings) to 1 (alone)"
        console.table(title, columns, rows)
