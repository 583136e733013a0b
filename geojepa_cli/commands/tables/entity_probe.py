"""Output of `probe-entities`: scores, paired differences, and remarks on their validity."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.protocols import print_protocols
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"
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
        "accuracy without visible tags",
    ]
    rows = [_row(score) for score in report["scores"]]
    hidden = "tags hidden on all entities" if report["hide"] == "all" else "tags hidden on the probed entities only"
    title = f"{report['title']} ({report['task']}, {hidden})"
    console.table(title, columns, rows, caption=report["evaluation_description"], red=(SEEN,))
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
    print_path(made)


def _rare(name: str, count: dict[str, int]) -> str:
    of = console.counted(count["entities_with_tag"], "entity", "entities")
    return f"{name} ({console.counted(count['examples'], 'example')} of {of})"


def _row(score: dict[str, Any]) -> list[str]:
    balanced, bare = score["balanced"], score["bare_accuracy"]
    return [
        score["model"],
        score["protocol"],
        f"{balanced['value']:.3f}",
        f"{balanced['low']:.3f} – {balanced['high']:.3f}",
        f"{score['accuracy']['value']:.3f}",
        f"{score['average_precision']:.3f}",
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
        cells = [f"{found['a']} − {found['b']}"]
        for name in ("balanced", "accuracy"):
            value = found[name]
            cells.append(f"{value['value']:+.3f} ({value['low']:+.3f} – {value['high']:+.3f})")
        rows.append(cells)
    columns = ["models", "balanced accuracy", "accuracy"]
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
