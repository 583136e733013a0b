"""Stage `exports/`: the tiles of a task as a folder that another program reads. `vector_exports.py` exports vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError, wrong_argument
from geojepa_cli.hints import Hint
from geojepa_cli.stages.built_tasks import Tasks
from geojepa_cli.stages.export_rebuild import is_export_of_vectors, rebuild_export
from geojepa_cli.stages.image_features import images_of
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.probe_regions import BuiltTask, find_built_tasks
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, open_inputs
from geojepa_cli.stages.stage import Regions, Stage, as_command, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.export.autogluon import ExportedTiles
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

AUTOGLUON = "autogluon"
FORMATS = (AUTOGLUON,)
_AT_ONCE = 256  # tiles whose tags are counted together


def _rebuild(remains: Remains) -> Hint:
    if is_export_of_vectors(remains):
        return rebuild_export(remains)
    built, regions = open_inputs(remains, "tasks"), input_refs(remains, "processed")
    if built:
        base, first = built[0].rebuild_hint(), built[0].name.rpartition(".")[0]
        base = base.adding(region=[one for one in regions if name_of(one) != first])
    else:
        base = hints.run("build-tasks", region=regions, task=remains.name.rpartition(".")[0] or remains.name)
    masked = remains.params.get("masked") is True
    return with_same_images(remains, base.adding(export=AUTOGLUON, masked=masked))


# of exports of tasks, and of vectors (`vector_exports.py`)
VARIANT = ("masked", "format", "dtype", "dimensions", "space", "list", "no_vectors", "area", "crs")
EXPORTS = Stage(
    "exports",
    version=1,
    rebuild=_rebuild,
    variant=VARIANT,
    files=("train.csv", "val.csv", "test.csv", "tiles.csv", "README.txt", "ATTRIBUTION.txt"),
)


def check_format(export: str) -> None:
    """Checks the name of a format.

    Raises:
        UsageError: the format is unknown, or is no text.
    """
    if not isinstance(export, str):
        raise wrong_argument("export", export, "the name of a format", f'"{AUTOGLUON}"')
    if export not in FORMATS:
        raise UsageError(
            f"unknown format `{export}`: expected `{AUTOGLUON}`", hints.run("build-tasks", export=AUTOGLUON)
        )


@as_command("build-tasks")
def export_task(
    workspace: Workspace, export: str, task: Tasks | None = None, region: Regions = None, masked: bool = False
) -> list[Artifact]:
    """Writes the tiles of tasks as folders that another program reads.

    A folder has the images of the tiles, a table of tag counts and labels for each split, and the attribution.

    Args:
        workspace: workspace to read from and publish to.
        export: format of the folder: `autogluon`.
        task: names of tasks, or `tasks/` artifacts. Default: all tasks that were built for the regions.
        region: names of regions, or artifacts. Default: the regions of the artifacts in `task` or, if there are none,
            the only region in the workspace.
        masked: hide the tags and entities that reveal the label of the task.

    Returns:
        The `exports/` artifact of each task, with the tiles of all regions.

    Raises:
        UsageError: the format is unknown.
        NotFoundError: there is no such region or task, or no region has images.
        DataError: no tile is left for training, or an artifact is damaged.
    """
    check_format(export)
    return [_export(workspace, built, masked) for built in find_built_tasks(workspace, task, region)]


def _export(workspace: Workspace, built: BuiltTask, masked: bool) -> Artifact:
    images = images_of(workspace, built.regions)
    params: dict[str, Any] = {"format": AUTOGLUON, "task": built.name, "masked": masked}
    inputs = [*built.regions, *built.artifacts, *filter(None, images)]

    def write(build: Build) -> Artifact:
        from geojepa_cli.export.autogluon import write_tables, write_texts
        from geojepa_cli.store.store import TileStore
        from geojepa_cli.tasks.dataset import TaskData

        with rebuilding(*built.regions, *images):
            names = [region.name for region in built.regions]
            store = TileStore.open([region.file(PROCESSED_FILE) for region in built.regions], names=names)
            data = TaskData.open(store, built.artifacts)
            tiles = _read(store, data, masked, build, images)
        counts = write_tables(build.partial, tiles)
        if not counts["train"]:
            again = hints.again(region=[*names, "ANOTHER"]).or_else(hints.again(seed=1))
            raise DataError(f"the split `train` of the task `{built.name}` has no tile", again)
        write_texts(build.partial, data.spec.title, data.spec.label.unit, masked, build.inherited_attribution())
        return build.publish(counts | {"images": int(tiles.has_image.sum())})

    return EXPORTS.make(workspace, f"{built.name}.{AUTOGLUON}", params, inputs, write)


def _read(store: TileStore, data: TaskData, masked: bool, build: Build, images: list[Artifact | None]) -> ExportedTiles:
    """Reads the tiles of a task, and writes their images."""
    import numpy as np

    from geojepa_cli.export.autogluon import ExportedTiles, write_image
    from geojepa_cli.grid import group_of
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.tags.frequent import frequent_tags
    from geojepa_cli.tasks.splits import SPLITS

    rows = np.sort(np.concatenate([data.rows(split) for split in SPLITS]))
    home, zxy = store.tile_regions(rows), store.tile_zxy[rows].astype(np.int64)
    opened = [None if one is None else ImageStore(one.file(IMAGES_FILE), any_form=True) for one in images]
    places, columns = np.full(len(rows), -1, np.int64), frequent_tags()
    for index, pictures in enumerate(opened):
        if pictures is not None:
            places[home == index] = pictures.rows_of(*zxy[home == index].T)
    tiles = ExportedTiles(
        region=[store.regions[index].name for index in home.tolist()],
        tile=["_".join(map(str, one)) for one in zxy.tolist()],
        has_image=places >= 0,
        split=data.split[rows],
        group=[group_of(x, y, z) for z, x, y in zxy.tolist()],
        fold=None if data.fold is None else data.fold[rows],
        labels=data.labels[rows],
        columns=columns,
        counts=_count(store, data, rows, masked, len(columns)),
    )
    with console.progress("write images", int(tiles.has_image.sum())) as meter:
        for done, row in enumerate(np.flatnonzero(tiles.has_image).tolist(), 1):
            pictures = opened[int(home[row])]
            assert pictures is not None
            write_image(build.partial, tiles.image_path(row), np.array(pictures.image[int(places[row])]))
            meter.update(done)
    return tiles


def _count(store: TileStore, data: TaskData, rows: Any, masked: bool, size: int) -> Any:
    """Returns the number of entities with each frequent tag or key in each tile, as the baseline `tag-counts`."""
    import numpy as np

    from geojepa_cli.models.base import TagList
    from geojepa_cli.nn.counts import count_tile_tags

    columns, view = TagList(store.keys, store.values).frequent_columns(), data.view(masked)

    def count(part: Any) -> Any:
        batch = store.read(view, part)
        return count_tile_tags(columns, batch.tag_ids, batch.tag_offsets, batch.cu_seqlens, size).numpy()

    parts = np.array_split(rows, -(-len(rows) // _AT_ONCE) or 1)
    return np.concatenate([count(part) for part in parts]).astype(np.int64)
