"""Selects the tiles, entities and tags that are embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.errors import DataError
from geojepa_cli.stages.built_tasks import processed_of
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View


def view_to_embed(store: TileStore, task: Artifact | None, masked: bool, limits: EntityLimits) -> View:
    """Returns the view of the tiles of a task or, without a task, of all tiles within the limits.

    Args:
        store: store that contains one region.
        task: `tasks/` artifact of the region, or None.
        masked: use the masked view of the task, without the tags and entities that reveal its label.
        limits: minimum and maximum number of entities in a tile; used without a task.

    Raises:
        DataError: there is no tile to embed.
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
    """Returns the view of one region without entities that lie in several zoom-14 groups of all regions together.

    Args:
        workspace: workspace of the artifacts.
        tasks: `tasks/` artifacts of one task, one for each region.
        processed: `processed/` artifact of the region to return.
        masked: use the masked view of the task.
    """
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    regions = [processed_of(workspace, task) for task in tasks]
    store = TileStore.open([region.file(PROCESSED_FILE) for region in regions])
    view = TaskData.open(store, tasks).view_without_shared(store, masked)
    return view.region([region.ref for region in regions].index(processed.ref))


def check_entities(store: TileStore, view: View, needs: Needs, task: str | None, masked: bool) -> None:
    """Checks that the view contains anything that the model can embed.

    Args:
        store: store that contains one region.
        view: view to embed.
        needs: modalities that the model reads.
        task: name of the task, for the message.
        masked: whether `view` is the masked view of the task.

    Raises:
        DataError: no tile has an entity, and the model does not read images.
    """
    if store.lengths(view).any() or Modality.IMAGE in needs:
        return
    region = store.regions[0].name
    where = f"all tiles of `{region}` ({len(view.tiles):,})" if len(view.tiles) != 1 else f"the only tile of `{region}`"
    if masked:
        raise DataError(f"the mask of `{task}` hides all entities in {where}", hints.run("embed", task=task))
    raise DataError(f"there is no entity in {where}", hints.run("tile", region=region))
