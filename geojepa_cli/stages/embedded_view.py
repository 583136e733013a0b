"""Views of the tiles that are embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.errors import DataError
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View


def view_to_embed(store: TileStore, task: Artifact | None, masked: bool, limits: EntityLimits) -> View:
    """Returns the view of a task, or of all tiles within limits.

    Args:
        store: one region.
        task: of the region, or None.
        masked: use the task's masked view.
        limits: on the number of entities of a tile, without a task.

    Raises:
        DataError: no tile is left.
    """
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.dataset import TaskData

    if task is None:
        check_tiles_left(store, limits)
        return View.default(store, *limits)
    view = TaskData.open(store, [task]).view(masked)
    if not len(view.tiles):
        region, name = store.regions[0].name, task.params["task"]["name"]
        hint = hints.run("build-tasks", region=region, task=name, min_entities=1, max_entities=100_000)
        raise DataError(f"`{task.full_ref}` has no tile", hint)
    return view


def view_without_shared(workspace: Workspace, tasks: Sequence[Artifact], processed: Artifact, masked: bool) -> View:
    """Returns the view of one region without the entities that lie in several blocks of all regions.

    Args:
        workspace: to look in.
        tasks: one task, built for each region.
        processed: the region.
        masked: use the task's masked view.
    """
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    regions = [processed_of(workspace, task) for task in tasks]
    store = TileStore.open([region.file(PROCESSED_FILE) for region in regions])
    view = TaskData.open(store, tasks).view_without_shared(store, masked)
    return view.region([region.ref for region in regions].index(processed.ref))


def processed_of(workspace: Workspace, task: Artifact) -> Artifact:
    """Returns the region that a task was built for."""
    return workspace.at(inputs_of_kind(task, "processed")[0])


def check_entities(store: TileStore, view: View, needs: Needs, task: str | None, masked: bool) -> None:
    """Checks that something is left to embed.

    Raises:
        DataError: no tile has an entity, and the model reads no images.
    """
    if store.lengths(view).any() or Modality.IMAGE in needs:
        return
    region = store.regions[0].name
    where = f"all {len(view.tiles):,} tiles of `{region}`"
    if masked:
        raise DataError(f"the mask of `{task}` hides every entity of {where}", hints.run("embed", task=task))
    raise DataError(f"there is no entity in {where}", hints.run("tile", region=region))
