"""Artifact `tasks/<region>.<task>.analysis`: lists the tags that are most informative about the label of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions
from geojepa_cli.stages.task_rebuild import ANALYSIS_SUFFIX
from geojepa_cli.stages.tasks import TASKS, TaskSettings, find_specs
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.tasks.spec import TaskSpec

ANALYSIS_FILE, COOCCURRENCE_FILE, STATISTICS_FILE = "analysis.json", "cooccurrence.png", "statistics.png"
ANALYSIS = Stage("tasks", version=1, rebuild=TASKS.rebuild, registers=False)


@as_command("build-tasks")
def analyze_task(
    workspace: Workspace,
    analyze: str | Path | Artifact,
    region: Regions = None,
    seed: int = 0,
    min_entities: int | None = None,
    max_entities: int | None = None,
    bbox: Bounds | None = None,
    with_imagery: bool = False,
    split: str = "group",
    folds: int | None = None,
    buffer: bool = False,
) -> Artifact:
    """Finds the tags that are most informative about the label of a task, and plots them with statistics of the task.

    The tiles of all given regions are analyzed together.

    Args:
        workspace: workspace to read from and publish to.
        analyze: name of a task that comes with geojepa, path of a YAML file that defines a task, or `tasks/`
            artifact. The task does not have to be built.
        region: names of regions, or artifacts. Default: the only region in the workspace.
        seed: random seed of the splits and folds.
        min_entities, max_entities: minimum and maximum number of entities in a tile. Default: 5 and 1250.
        bbox: bounding box (west, south, east, north) in degrees that tiles must intersect.
        with_imagery: use only tiles that have an image.
        split, folds, buffer: rule that assigns tiles to splits. These arguments are described in `build_tasks`.

    Returns:
        The artifact, which contains `analysis.json`, `cooccurrence.png` and `statistics.png`.

    Raises:
        UsageError: the definition of the task or an argument is not valid.
        NotFoundError: there is no such region or task.
        DataError: there are too few tiles, or all tiles have the same label.
    """
    from geojepa_cli.tasks.splits import SplitRule

    filters = Filters(entity_limits(min_entities, max_entities), bbox, with_imagery)
    settings = TaskSettings(SplitRule(seed, split, folds, buffer), filters)
    (spec,) = find_specs([analyze], "--analyze")
    regions = find_regions(workspace, "processed", region)
    settings.check(workspace, regions)
    return make_analysis(workspace, regions, spec, settings)


def make_analysis(
    workspace: Workspace, regions: Sequence[Artifact], spec: TaskSpec, settings: TaskSettings
) -> Artifact:
    """Publishes the artifact `tasks/<region>.<task>.analysis`, made from the tiles of all given regions.

    `<region>` is the name of the first region. If there are several regions, the number of other regions
    follows, such as `+2`.
    """
    more = f"+{len(regions) - 1}" if len(regions) > 1 else ""
    name = f"{regions[0].name}{more}.{spec.name}{ANALYSIS_SUFFIX}"
    images = [settings.filters.images(workspace, processed) for processed in regions]
    inputs = [*regions, *(found for found in images if found)]

    def write(build: Build) -> Artifact:
        from geojepa_cli.evaluate.plots.tasks import plot_cooccurrence, plot_statistics
        from geojepa_cli.tasks.analysis import analyze

        opened = [settings.filters.open_region(workspace, processed) for processed in regions]
        analysis = analyze(opened, spec, settings.rule)
        if not analysis.within and not analysis.between:
            other = [*(processed.name for processed in regions), "ANOTHER"]
            raise DataError(
                f"`{spec.name}` has too few tiles ({analysis.sizes['tiles']} kept), or all their labels are equal; "
                "an analysis would show tags that seem informative by chance",
                hints.again(region=other),
            )
        analysis.save(build.partial / ANALYSIS_FILE)
        names = ", ".join(processed.name for processed in regions[:3]) + (" and more" if len(regions) > 3 else "")
        title = f"{spec.title}: {names}"
        plot_cooccurrence(analysis, f"co-occurrence of tags: {title}", build.partial / COOCCURRENCE_FILE)
        plot_statistics(analysis.reports, title, build.partial / STATISTICS_FILE)
        return build.publish(counts={key: analysis.sizes[key] for key in ("tiles", "entities", "entities_that_count")})

    return ANALYSIS.make(workspace, name, settings.params(spec), inputs, write)
