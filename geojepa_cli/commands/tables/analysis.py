"""Tables of `build-tasks --analyze`: the tags that give most information about the label of a task.

The tables also show whether the mask of the task hides these tags.
"""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.stages.task_analysis import ANALYSIS_FILE, COOCCURRENCE_FILE, STATISTICS_FILE
from geojepa_cli.workspace.artifact import Artifact

SHOWN = 15


def print_analysis(made: Artifact) -> None:
    """Prints two tables of tags and the paths of the plots.

    The label of a tile is computed from certain entities, for example from its bridges. These entities "count for the
    label". The first table has the tags of these entities. The second table has the tags of all other entities.

    Args:
        made: artifact of the analysis.
    """
    result = made.read_json(ANALYSIS_FILE)
    bits = result["entropy_bits"]
    of = console.counted(result["entities"], "entity", "entities")
    caption = f"{result['entities_that_count']:,} of {of} count for the label (entropy: {bits['within']:.3f} bits)"
    _print_list(f"{result['task']}: tags of entities that count for the label", result["within"], "entities", caption)
    of = console.counted(result["tiles"], "tile")
    caption = (
        f"{result['high_tiles']:,} of {of} with a label above {result['high_above']:g} "
        f"(entropy of the label classes: {bits['between']:.3f} bits)"
    )
    _print_list(f"{result['task']}: tags of the other entities in a tile", result["between"], "tiles", caption)
    console.print_line(
        "lift, first table: share of entities that count for the label among entities with the tag, divided by the "
        "share of such entities among all entities\n"
        "lift, second table: share of tiles with a high label among tiles with the tag, divided by the share of "
        "such tiles among all tiles\n"
        "bits: mutual information of tag and label\n"
        "mask: `hidden` if the mask hides the tag on all entities, `partly` if on some entities, `left` if on none or "
        "almost none (the tag is left visible)\n"
        "visible when masked: number of entities on which the mask leaves the tag visible"
    )
    console.print_line(f"plots: {made.path / COOCCURRENCE_FILE}, {made.path / STATISTICS_FILE}")


def _print_list(title: str, found: list[dict[str, Any]], what: str, caption: str) -> None:
    columns = ["tag", what, "lift", "bits", "mask", "visible when masked"]
    rows = [
        [
            entry["tag"],
            f"{entry['seen']:,}",
            f"{entry['lift']:.2f}",
            f"{entry['bits']:.4f}",
            entry["mask"],
            f"{entry['left']:,} of {console.counted(entry['entities'], 'entity', 'entities')}",
        ]
        for entry in found[:SHOWN]
    ]
    console.table(title, columns, rows, caption=caption)
