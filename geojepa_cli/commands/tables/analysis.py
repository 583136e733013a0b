"""Tables of `build-tasks --analyze`: tags that give information about the label, and whether the mask hides them."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.stages.task_analysis import ANALYSIS_FILE, COOCCURRENCE_FILE, STATISTICS_FILE
from geojepa_cli.workspace.artifact import Artifact

SHOWN = 15


def print_analysis(made: Artifact) -> None:
    """Prints two tables of tags and the paths of the plots.

    The first table has tags of entities that count for the label. The second table has tags of other entities.

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
        "lift: observed frequency of tag and label together, divided by the frequency expected by chance; bits: mutual "
        "information with the label; mask: the mask hides the tag on all entities (`hidden`), on some "
        "(`partly`) or on almost none (`left`); visible when masked: number of entities on which the tag stays visible"
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
