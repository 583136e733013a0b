"""Output of `probe`: table of scores, test protocol, and the tag that gives most information about the label."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.workspace.artifact import Artifact

NONE = "–"


def print_probe(report: dict[str, Any], made: Artifact) -> None:
    """Prints the scores of a probe and remarks on their validity.

    Args:
        report: content of the probe's `report.json`.
        made: artifact of the probe.
    """
    binary = any(score["auroc"] is not None for score in report["figures"])
    unit = f" {report['unit']}" if report["unit"] else ""
    columns = ["model", "head", f"MAE{unit}", "95 % interval", "MAE / Dummy", "MAE all test tiles"]
    columns += ["AUROC"] if binary else []
    rows = [_row(score)[: len(columns)] for score in report["figures"]]
    variant = "masked" if report["masked"] else "plain"
    variant += ", RANDOM SPLIT" if report.get("random") else ""
    console.table(f"{report['title']} ({report['task']}, {variant})", columns, rows, caption=report["stands_on"])
    if report.get("random"):
        console.warn(report["stands_on"])
    for model, groups in report.get("seen_in_pretraining", {}).items():
        tested = console.counted(groups, "tested zoom-14 group")
        console.print_line(f"`{model}` may have seen tiles of {tested} during pretraining (without their labels)")
    if shared := report.get("shared_entities"):
        of = console.counted(shared["entities"], "entity", "entities")
        console.print_line(
            f"`--without-shared` hid {shared['hidden']:,} of {of}: their OSM elements lie in several zoom-14 tiles"
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


def _row(score: dict[str, Any]) -> list[str]:
    mae = score["mae"]
    return [
        score["model"],
        score["head"],
        f"{mae['value']:.3f}",
        f"{mae['low']:.3f} – {mae['high']:.3f}",
        f"{score['relative']:.3f}" if score["relative"] is not None else NONE,
        f"{score['mae_unthinned']:.3f}",
        f"{score['auroc']:.3f}" if score["auroc"] is not None else NONE,
    ]
