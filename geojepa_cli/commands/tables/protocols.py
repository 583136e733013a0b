"""Output of probes: explains how much of the tested regions each model saw in pretraining (the protocol)."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console


def print_protocols(report: dict[str, Any], advice: str) -> None:
    """Explains the protocols of the scores: how much of the tested regions the models saw in pretraining.

    If a model saw tested zoom-14 groups, or groups next to them, also prints their number.

    Args:
        report: content of the `report.json` of a probe.
        advice: line to print if a model saw tested groups. It says how to test on other groups.
    """
    from geojepa_cli.evaluate.protocols import MEANINGS, SEEN, SEEN_NEIGHBOURS

    found = {one["protocol"] for one in report["protocols"].values()}
    for name in (one for one in MEANINGS if one in found):
        console.print_line(f"protocol `{name}`: {MEANINGS[name]}")
    for model, one in report["protocols"].items():
        number = {SEEN: one["seen_groups"], SEEN_NEIGHBOURS: one["near_groups"]}.get(one["protocol"])
        if number is not None:
            what = "saw" if one["protocol"] == SEEN else "saw a group next to"
            of = console.counted(one["groups"], "tested zoom-14 group")
            console.print_line(f"`{model}` {what} {number:,} of {of} during pretraining (without labels)")
    if SEEN in found:
        console.print_line(advice)
