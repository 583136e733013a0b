"""Prints what `geojepa fetch --photos --dry-run` would import."""

from __future__ import annotations

from geojepa_cli import console
from geojepa_cli.stages.photos import PhotoPlan, dropped_counts


def print_photo_plan(plan: PhotoPlan) -> None:
    """Prints the number of photos that would be imported and left out, and the reason for every photo left out."""
    kept = plan.read - len(plan.dropped)
    rows = [("photos", f"{kept:,}"), ("read", f"{plan.read:,}")]
    rows += [
        (f"dropped: {reason.replace('_', ' ')}", f"{count:,}") for reason, count in dropped_counts(plan.dropped).items()
    ]
    console.table("would be imported", ["", "count"], rows, caption="dry run: nothing was imported")
    for one in plan.dropped:
        detail = f": {one.detail}" if one.detail else ""
        console.print_line(f"{one.file}: {one.reason.replace('_', ' ')}{detail}")


def emit_photo_plan(plan: PhotoPlan) -> None:
    """Prints the plan as JSON."""
    counts = {"photos": plan.read - len(plan.dropped), "read": plan.read, "other_formats": plan.other}
    dropped = [one._asdict() for one in plan.dropped]
    console.emit_json("fetch", None, {"region": plan.region.ref, **counts, "dropped": dropped})
