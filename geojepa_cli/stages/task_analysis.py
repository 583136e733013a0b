"""Tags most informative about a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import console
from geojepa_cli.errors import DataError
from geojepa_cli.stages.stage import Stage
from geojepa_cli.stages.tasks import TASKS, Settings
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.spec import TaskSpec

ANALYSIS = Stage("tasks", version=1, rebuild=TASKS.rebuild, registers=False)


def make_analysis(workspace: Workspace, regions: Sequence[Artifact], spec: TaskSpec, settings: Settings) -> Artifact:
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
    with ANALYSIS.build(workspace, name, settings.params(spec), inputs) as build:
        if build.existing:
            console.note(f"tasks/{build.existing.ref} is up to date, skipping")
            return build.existing
        from geojepa_cli.evaluate.plots.tasks import plot_cooccurrence, plot_statistics
        from geojepa_cli.tasks.analysis import analyze

        command = f"geojepa build-tasks --analyze {spec.name} --region {regions[0].name}"
        opened = [settings.filters.open_region(workspace, processed) for processed in regions]
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
