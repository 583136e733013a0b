"""`geojepa build-tasks --analyze TASK`: which tags tell the label, what the mask leaves of them, what tiles hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    pass

SHOWN = 15


def say(made: Artifact) -> None:
    """Both lists as tables, and where the plots are."""
    result = made.read_json("analysis.json")
    bits = result["entropy_bits"]
    about = f"{result['entities_that_count']:,} of {result['entities']:,} entities count ({bits['within']:.3f} bits)"
    _list(f"{result['task']}: tags on the entities that count", result["within"], "entities", about)
    about = (
        f"{result['high_tiles']:,} of {result['tiles']:,} tiles have a label above {result['high_above']:g} "
        f"(classes of label: {bits['between']:.3f} bits)"
    )
    _list(f"{result['task']}: tags on the other entities of a tile", result["between"], "tiles", about)
    console.print_line(
        "lift: times as often as by chance; bits: mutual information with the label; in mask: what it leaves"
    )
    console.print_line(f"plots: {made.path / 'cooccurrence.png'}, {made.path / 'statistics.png'}")


def _list(title: str, found: list[dict[str, Any]], what: str, about: str) -> None:
    columns = ["tag", what, "lift", "bits", "mask", "left in mask"]
    rows = [
        [
            entry["tag"],
            f"{entry['seen']:,}",
            f"{entry['lift']:.2f}",
            f"{entry['bits']:.4f}",
            entry["mask"],
            f"{entry['left']:,} of {entry['entities']:,} entities",
        ]
        for entry in found[:SHOWN]
    ]
    console.table(title, columns, rows, caption=about)
