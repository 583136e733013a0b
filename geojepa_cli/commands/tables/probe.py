"""Output of `probe`: tables of scores, remarks on the test, and the most informative tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.protocols import print_protocols
from geojepa_cli.commands.tables.zero_shot import print_language_models
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"
PARTS = {"AUROC present": "presence_auroc", "AP present": "presence_average_precision", "MAE of present": "value_mae"}


def print_probe(report: dict[str, Any], made: Artifact) -> None:
    """Prints the scores of a probe and remarks on their validity.

    Args:
        report: content of the probe's `report.json`.
        made: artifact of the probe.
    """
    from geojepa_cli.evaluate.protocols import SEEN

    variant = "masked" if report["masked"] else "plain"
    variant += ", RANDOM SPLIT" if report.get("random") else ""
    tested, title = report["evaluation_description"], f"{report['title']} ({report['task']}, {variant})"
    columns, rows = _score_table(report["scores"], report["unit"])
    console.table(title, columns, rows, caption=tested, red=(SEEN,))
    if report.get("random"):
        console.warn(tested)
    print_protocols(
        report,
        "to test on unseen tiles: name a region that the model was not pretrained on with `--region`, or pretrain it "
        "with `--fold` for a task that was built with `--folds`",
    )
    print_language_models(report)
    _print_parts(report["scores"])
    _print_curve(report)
    if shared := report.get("shared_entities"):
        of = console.counted(shared["entities"], "entity", "entities")
        console.print_line(
            f"`--without-shared` hid {shared['hidden']:,} of {of}: a hidden entity is part of an OSM element that can "
            "lie in both training and test tiles"
        )
    for region, strongest in report["strongest"].items():
        if strongest["tags"]:
            first = strongest["tags"][0]
            score = f"{strongest['measure']} {first['score']:.2f} with the label"
            tag = f"`{first['tag']}` (its {first['feature']} in a tile: {score})"
            console.print_line(
                f"most informative single tag in {region}, of the tags that the mask leaves visible: {tag}"
            )
    print_path(made)


def _score_table(scores: Sequence[dict[str, Any]], unit: str) -> tuple[list[str], list[list[str]]]:
    """Returns the column names and the rows of the table of scores, with one row per model and head."""
    binary = any(score["auroc"] is not None for score in scores)
    figures = {"AUROC": "auroc", "AP": "average_precision"} if binary else {"R²": "r2", "Spearman": "spearman"}
    several = max(score["seeds"] for score in scores) > 1
    columns = ["model", "head", "protocol", f"MAE {unit}" if unit else "MAE", "95 % interval"]
    columns += ["SD over seeds"] if several else []
    columns += ["MAE / Dummy", "MAE all test tiles", *figures]
    rows = []
    for score in scores:
        mae = score["mae"]
        row = [score["model"], score["head"], score["protocol"], f"{mae['value']:.3f}"]
        row.append(f"{mae['low']:.3f} – {mae['high']:.3f}")
        row += [_number(score["spread"].get("mae"))] if several else []
        row += [_number(score["relative"]), f"{score['mae_unthinned']:.3f}"]
        rows.append([*row, *(_number(score[name]) for name in figures.values())])
    return columns, rows


def _print_parts(scores: Sequence[dict[str, Any]]) -> None:
    """Explains heads that predict in two parts, and prints the scores of each part. Prints nothing for other heads."""
    if not any(score["parts"] for score in scores):
        return
    console.print_line(
        "two-part: in this task, tiles without certain entities (such as roads) have a fixed label; one head predicts "
        "if a tile has such entities (present), another head predicts the label of tiles that have them"
    )
    rows = [
        [score["model"], score["head"], *(_number(score["parts"][name]) for name in PARTS.values())]
        for score in scores
        if score["parts"]
    ]
    console.table("the two parts", ["model", "head", *PARTS], rows)


def _print_curve(report: dict[str, Any]) -> None:
    """Prints the learning curve: scores of heads that were trained on a share of the labels."""
    from geojepa_cli.evaluate.protocols import SEEN

    whole = {"labels": report["labels"], "scores": report["scores"]}
    points = [*report["curve"], whole] if report["curve"] else []
    rows = [
        [
            f"{point['labels']['share']:.4g}",
            f"{point['labels']['tiles']:,.0f} in {point['labels']['groups']:,.0f} groups",
            *(score["model"], score["head"], score["protocol"], f"{score['mae']['value']:.3f}"),
            *(_number(score["spread"].get("mae")), _number(score["relative"])),
        ]
        for point in points
        for score in point["scores"]
    ]
    if rows:
        columns = ["share", "labelled tiles", "model", "head", "protocol", "MAE", "SD over seeds", "MAE / Dummy"]
        caption = "labels are drawn by zoom-14 group, so no group is split; Dummy has all labels in `MAE / Dummy`"
        console.table("learning curve", columns, rows, caption=caption, red=(SEEN,))


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
