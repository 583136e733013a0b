"""Output of `probe --retrieval`: figures of models and spaces, figures by feature, and paired differences."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.protocols import print_protocols
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"
SHOWN_TAGS, SHOWN_NAMES = 3, 15
Figures = dict[str, Any]


def print_retrieval(report: dict[str, Any], made: Artifact) -> None:
    """Prints the figures of retrieval.

    Args:
        report: content of the `report.json`.
        made: artifact of the search.
    """
    from geojepa_cli.evaluate.protocols import SEEN
    from geojepa_cli.evaluate.retrieval_report import RANDOM
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS

    k, variant = report["k"], "masked" if report["masked"] else "plain"
    columns = ["model", "space", "protocol", "mAP", "95 % interval", f"precision@{k}", f"recall@{k}", "recall@100"]
    rows = [[RANDOM, NONE, NONE, *_figures(report["random"])]]
    rows += [[one["model"], one["space"], one["protocol"], *_figures(one)] for one in report["scores"]]
    title = f"search: {report['title']} ({report['task']}, {variant})"
    console.table(title, columns, rows, caption=_caption(report), red=(SEEN,))
    _print_features(report)
    _print_differences(report)
    print_protocols(report, "to test on unseen tiles: name a region that the model was not pretrained on")
    if few := [one["title"] for one in report["features"] if not one["averaged"]]:
        reason = f"because their queries are in fewer than {FEW_TEST_GROUPS} zoom-14 groups"
        console.print_line(f"not in the means, {reason}: {_listed(few)}")
    if report["without_queries"]:
        names = [f"{name} ({count})" for name, count in report["without_queries"].items()]
        console.print_line(f"without a query, because no two zoom-14 groups have them: {_listed(names)}")
    _print_hidden(report)
    print_path(made)


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _caption(report: dict[str, Any]) -> str:
    searched, averaged = report["searched"], [one for one in report["features"] if one["averaged"]]
    names = ("entity", "entities", "class", "classes") if searched == "entities" else ("tile", "tiles", "feature", None)
    where = f"{console.counted(report[searched], *names[:2])} in "
    where += console.counted(report["searched_groups"], "zoom-14 group")
    of = console.counted(len(averaged), *filter(None, names[2:]))
    return f"{where} are searched; means over {of}; candidates are outside the query's group"


def _figures(score: Figures) -> list[str]:
    precision = score["average_precision"]
    if precision is None:
        return [NONE] * 5
    rest = [f"{score[name]['value']:.3f}" for name in ("precision", "recall", "recall_100")]
    return [f"{precision['value']:.3f}", f"{precision['low']:.3f} – {precision['high']:.3f}", *rest]


def _print_features(report: dict[str, Any]) -> None:
    """Prints mAP by feature, in one table for each space."""
    for space in report["spaces"]:
        scores = [one for one in report["scores"] if one["space"] == space]
        rows = []
        for one in report["features"] if report["searched"] == "tiles" else _frequent(report):
            values = [score["features"][one["name"]]["average_precision"]["value"] for score in scores]
            shown = [f"{value:.3f}" for value in (one["random"]["average_precision"]["value"], *values)]
            name = one["title"] if one["averaged"] else f"({one['title']})"
            rows.append([name, f"{one['queries']:,}", f"{one['groups']:,}", *shown])
        columns = ["feature", "queries", "groups", "random", *(score["model"] for score in scores)]
        console.table(f"mAP by feature, {space} vectors", columns, rows, caption="in brackets: not in the means")


def _frequent(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the classes in the means; there can be many others. `report.json` has all."""
    return [one for one in report["features"] if one["averaged"]] or report["features"]


def _print_differences(report: dict[str, Any]) -> None:
    rows = []
    for one in report["differences"]:
        a, b = one["a"], one["b"]
        same = a["model"] == b["model"]
        names = f"{a['space']} − {b['space']}" if same else f"{a['model']} − {b['model']}"
        place = a["model"] if same else a["space"]
        rows.append([names, place, _difference(one["average_precision"]), _difference(one["precision"])])
    if rows:
        columns = ["difference", "in", "mAP", f"precision@{report['k']}"]
        console.table("paired differences with 95 % intervals over groups", columns, rows)


def _difference(found: dict[str, float]) -> str:
    return f"{found['value']:+.3f} ({found['low']:+.3f} – {found['high']:+.3f})"


def _print_hidden(report: dict[str, Any]) -> None:
    """Prints the most informative visible tags of hidden features."""
    rows = []
    for name, one in report.get("hidden", {}).items():
        tags = [f"{tag['tag']} ({tag['with_feature']:,} of {tag['tiles']:,})" for tag in one["strongest"][:SHOWN_TAGS]]
        rows.append([name, f"{one['tiles_changed']:,}", ", ".join(tags) or NONE])
    if rows:
        columns = ["feature", "tiles with hidden tags", "most informative visible tags (tiles with the feature)"]
        console.table("what is hidden, and what stays visible", columns, rows)
