"""`geojepa build-tasks --analyze TASK`: which tags tell the label, what the mask leaves of them, what tiles hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.errors import DataError
from geojepa_cli.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from geojepa_cli.commands.build_tasks import Settings
    from geojepa_cli.tasks.spec import TaskSpec

STAGE_VERSION = 1
SHOWN = 15


def build_analysis(workspace: Workspace, regions: Sequence[Artifact], spec: TaskSpec, settings: Settings) -> Artifact:
    """Publishes `tasks/<region>.<task>.analysis`: `analysis.json`, `cooccurrence.png`, `statistics.png`.

    Args:
        workspace: where.
        regions: processed artifacts, looked at as one.
        spec: the task; it need not be built.
        settings: of splits and filters, as for building it.

    Raises:
        DataError: no tile is left, or labels are all equal.
    """
    more = f"+{len(regions) - 1}" if len(regions) > 1 else ""
    name = f"{regions[0].name}{more}.{spec.name}.analysis"
    images = [settings.filters.images(workspace, processed) for processed in regions]
    inputs = [*regions, *(found for found in images if found)]
    with workspace.build("tasks", name, settings.params(spec), inputs, STAGE_VERSION) as build:
        if build.existing:
            console.note(f"tasks/{build.existing.ref} is up to date, skipping")
            return build.existing
        from geojepa_cli.evaluate.plot_tasks import plot_cooccurrence, plot_statistics
        from geojepa_cli.tasks.analysis import analyze

        command = f"geojepa build-tasks --analyze {spec.name} --region {regions[0].name}"
        opened = [settings.filters.open_region(workspace, processed, command) for processed in regions]
        analysis = analyze(opened, spec, settings.rule)
        if not analysis.within and not analysis.between:
            told = f"{analysis.sizes['tiles']} kept tiles of `{spec.name}` are too few, or their labels all equal"
            raise DataError(f"{told}: some tag would fit by chance", hint=f"{command} --region ANOTHER")
        analysis.save(build.partial)
        names = ", ".join(processed.name for processed in regions[:3]) + (" and more" if len(regions) > 3 else "")
        title = f"{spec.title}: {names}"
        plot_cooccurrence(analysis, f"which tags go together with {title}", build.partial / "cooccurrence.png")
        plot_statistics(analysis.reports, title, build.partial / "statistics.png")
        return build.publish(counts={key: analysis.sizes[key] for key in ("tiles", "entities", "entities_that_count")})


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
    console.say("lift: times as often as by chance; bits: mutual information with the label; in mask: what it leaves")
    console.say(f"plots: {made.path / 'cooccurrence.png'}, {made.path / 'statistics.png'}")


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
