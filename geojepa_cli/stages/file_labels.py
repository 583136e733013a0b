"""Tasks whose labels come from a file with values of points, polygons or tiles, instead of from the map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.label_checks import check_inside, check_values
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, as_command, find_regions, rebuilding
from geojepa_cli.stages.task_checks import TaskReports, warn_of_empty, warn_of_small_splits
from geojepa_cli.stages.tasks import REPORT_FILE, TASKS, TaskSettings
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.tasks.file_labels import ValuesAtPlaces
    from geojepa_cli.tasks.labels import Labels
    from geojepa_cli.tasks.spec import TaskSpec

REDUCTIONS = ("mean", "sum", "max", "nearest")


@dataclass(frozen=True)
class LabelSource:
    """A file with labels, as the user gave it.

    Attributes:
        path: path of the file.
        column: column with the values.
        name: name of the task.
        reduce: `mean`, `sum`, `max` or `nearest`: computes the label of a tile from several values.
        crs: CRS of the coordinates; None for the CRS that the file states.
        attribution: attribution lines of the file; empty if its origin is unknown.
    """

    path: Path
    column: str
    name: str
    reduce: str = "mean"
    crs: str | None = None
    attribution: tuple[str, ...] = ()


@as_command("build-tasks")
def build_labels(
    workspace: Workspace,
    labels: str | Path,
    label: str,
    region: Regions = None,
    name: str | None = None,
    reduce: str | None = None,
    crs: str | None = None,
    attribution: str | Sequence[str] = (),
    seed: int = 0,
    min_entities: int | None = None,
    max_entities: int | None = None,
    bbox: Bounds | None = None,
    with_imagery: bool = False,
    split: str = "group",
    folds: int | None = None,
    buffer: bool = False,
) -> list[Artifact]:
    """Makes a task whose labels come from a file with one value for each point, polygon or tile.

    Args:
        workspace: workspace to read from and publish to.
        labels: path of a CSV, GeoJSON or (Geo)Parquet file. Each row has a value and a place. The place is a geometry,
            a tile name such as `16_18052_25957` in the column `tile`, or coordinates in the columns `lon` and `lat`, or
            `x` and `y`.
        label: column with the values.
        region: names of regions, or artifacts. Default: the only region in the workspace.
        name: name of the task. Default: made from the name of the column.
        reduce: computes the label of a tile from several values: `mean` (for polygons weighted by area), `sum` (of
            polygons: by share of area), `max`, or `nearest` (to the centre of the tile). Default: `mean`.
        crs: CRS of the coordinates, such as `EPSG:2248`. Default: the CRS that the file states.
        attribution: attribution lines of the file. Default: the manifest states that the attribution is unknown.
        seed, min_entities, max_entities, bbox, with_imagery, split, folds, buffer: described in `build_tasks`.

    Returns:
        The `tasks/` artifacts in the order of the regions.

    Raises:
        UsageError: an argument is not valid, the file has no such column, or its CRS is unknown.
        NotFoundError: there is no such file or region.
        DataError: the file is damaged or empty, a value is not a number, or no row lies in a region.
    """
    from geojepa_cli.tasks.splits import SplitRule

    source = _check_source(labels, label, name, reduce, crs, attribution)
    filters = Filters(entity_limits(min_entities, max_entities), bbox, with_imagery)
    settings = TaskSettings(SplitRule(seed, split, folds, buffer), filters)
    regions = find_regions(workspace, "processed", region)
    settings.check(workspace, regions)
    values, read = read_values(source)
    spec = make_spec(source, values)
    found = [label_region(processed, values, source, read) for processed in regions]
    check_inside(source.path, values, regions, [len(used) for _, used in found])
    made = [
        _make_task(workspace, processed, spec, settings, source, one)
        for processed, (one, _) in zip(regions, found, strict=True)
    ]
    _warn(source, {spec.name: [artifact.read_json(REPORT_FILE) for artifact in made]})
    return made


def _warn(source: LabelSource, reports: TaskReports) -> None:
    warn_of_small_splits(reports)
    warn_of_empty(reports)
    if not source.attribution:
        console.warn(f"`{source.path}` has no attribution: the origin is unknown", hints.again(attribution="TEXT"))


def read_values(source: LabelSource) -> tuple[ValuesAtPlaces, dict[str, int]]:
    """Reads the rows of a file that have a value and a place.

    Returns:
        The values with their places, and a dict of counts, such as the numbers of all rows and of rows without a value.

    Raises:
        UsageError: the file has no such column or no places, or its CRS is unknown.
        NotFoundError: there is no such file.
        DataError: the file is damaged or empty, or a value or place is wrong.
    """
    from dataclasses import replace

    import numpy as np

    from geojepa_cli.sources.places import find_places
    from geojepa_cli.sources.table_files import read_table
    from geojepa_cli.tasks.file_labels import ValuesAtPlaces

    table = read_table(source.path)
    column = table.numbers(table.require(source.column))
    check_values(table, source.column, column)
    places = find_places(table, source.crs)
    kept = ~np.isnan(column[places.rows])
    if not kept.any():
        message = f"no row of `{source.path}` has both a place and a value in `{source.column}`"
        raise DataError(message, hints.again().noting("after the file is corrected"))
    tiles, geometry = (part[kept] if len(part) else part for part in (places.tiles, places.geometry))
    counts = {"rows": len(column), "rows without a value": int(np.isnan(column).sum())}
    counts |= {f"rows {what}" if what.startswith("without") else what: count for what, count in places.counts.items()}
    found = replace(places, rows=places.rows[kept], tiles=tiles, geometry=geometry)
    return ValuesAtPlaces(column[found.rows], found), {what: count for what, count in counts.items() if count}


def make_spec(source: LabelSource, values: ValuesAtPlaces) -> TaskSpec:
    """Returns the definition of a task with labels from a file."""
    from geojepa_cli.tasks.file_labels import histogram_bounds, is_binary
    from geojepa_cli.tasks.spec import TaskSpec

    kind = values.places.kind
    file: dict[str, Any] = {"sha256": file_sha256(source.path), "column": source.column, "crs": source.crs}
    file["reduce"] = None if kind == "tiles" else source.reduce
    file["binary"] = is_binary(values.values, kind, source.reduce)
    file["bins"] = histogram_bounds(values.values)
    title = source.column.strip()[:255]
    label = {"kind": "file", "tags": [], "file": file}
    return TaskSpec.model_validate({"name": source.name, "title": title, "label": label})


def label_region(
    processed: Artifact, values: ValuesAtPlaces, source: LabelSource, read: dict[str, int]
) -> tuple[Labels, Any]:
    """Returns the labels of the tiles of a region, and the rows of the file that lie in one of these tiles.

    Raises:
        DataError: `processed.h5` is damaged, or the file has labels of tiles with another zoom level.
    """
    import numpy as np

    from geojepa_cli.stages.label_checks import check_zoom
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.labels import Labels

    with rebuilding(processed):
        tiles = TileStore.open([processed.file(PROCESSED_FILE)], names=[processed.name]).tile_zxy.astype(np.int64)
    if not len(tiles):
        return Labels(np.empty(0, np.float32)), np.empty(0, np.int64)
    check_zoom(source.path, values.places, int(tiles[0, 0]), processed.name)
    found, used = values.reduced(tiles, source.reduce)
    kind = values.places.kind
    report: dict[str, str | int] = {"column": source.column, "kind": kind}
    report["reduce"] = "" if kind == "tiles" else source.reduce
    report |= {**read, "rows in tiles of the region": len(used)}
    return Labels(found.astype(np.float32), file=report), used


def _make_task(
    workspace: Workspace, processed: Artifact, spec: TaskSpec, settings: TaskSettings, source: LabelSource, of: Labels
) -> Artifact:
    images = settings.filters.images(workspace, processed)
    inputs = [processed, *([images] if images else [])]
    params = settings.params(spec) | ({"attribution": list(source.attribution)} if source.attribution else {})
    lines = source.attribution or (f"labels of task {spec.name}: attribution unknown",)

    def write(build: Build) -> Artifact:
        from geojepa_cli.tasks.build import write_task

        data = settings.filters.open_region(workspace, processed)
        report = write_task(data, spec, settings.rule, build.partial, of)
        rows = {name: count for name, count in of.file.items() if isinstance(count, int)}
        counts = report["tiles"] | {"label_file": rows, "dropped": report["views"]["masked"]}
        return build.publish(counts=counts, attribution=lines)

    return TASKS.make(workspace, f"{processed.name}.{spec.name}", params, inputs, write)


def _check_source(
    labels: object, label: object, name: str | None, reduce: str | None, crs: str | None, attribution: Any
) -> LabelSource:
    from geojepa_cli.tasks.spec import NAME, packed_tasks

    if not isinstance(labels, str | Path) or "\0" in str(labels) or not str(labels):
        raise wrong_type("labels", labels, "the path of a file", '"prices.csv"')
    if not isinstance(label, str):
        raise wrong_type("label", label, "the name of a column", '"price"')
    reduce = "mean" if reduce is None else reduce
    if reduce not in REDUCTIONS:
        expected = ", ".join(f"`{one}`" for one in REDUCTIONS)
        raise UsageError(f"`--reduce {reduce}`: expected {expected}", hints.again(reduce="mean"))
    made = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:60]
    task = (made if re.match(NAME, made) else f"label_{made}"[:60].strip("_")) if name is None else name
    if not re.fullmatch(NAME.strip("^$"), task) or len(task) > 60:
        expected = "expected at most 60 lower-case letters, digits and `_`, beginning with a letter"
        raise UsageError(f"`{task}` is not the name of a task: {expected}", hints.again(name="my_label"))
    if task in packed_tasks():
        message = f"`{task}` is the name of a task that comes with geojepa; choose another name"
        raise UsageError(message, hints.again(name=f"my_{task}"))
    return LabelSource(Path(labels), label, task, reduce, crs, tuple(attribution))
