"""Selects the tiles to embed, and the entities and tags that the model reads in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.images import DRAWN
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.modality import IMAGES, Needs, sees_only_images
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.built_tasks import processed_of
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View


def view_to_embed(store: TileStore, task: Artifact | None, masked: bool, limits: EntityLimits) -> View:
    """Returns a selection of tiles (`View`): the tiles of a task or, without a task, all tiles within the limits.

    Args:
        store: opened file `processed.h5` of one region.
        task: `tasks/` artifact of the region, or None.
        masked: hide the tags and entities that reveal the label of the task.
        limits: minimum and maximum number of entities in a tile. Ignored if a task is given.

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
        raise DataError(f"`{task.full_ref}` has no tile to embed", hint)
    return view


def view_without_shared(workspace: Workspace, tasks: Sequence[Artifact], processed: Artifact, masked: bool) -> View:
    """Returns a selection (`View`) of a task's tiles in one region, without OSM elements that lie in several groups.

    A group is a zoom-14 tile, or a single tile if the task has a random split. All tiles of a group are in the same
    split. So no OSM element in the selection is in two splits. The artifacts of all regions are read, because an OSM
    element may lie in several regions.

    Args:
        workspace: workspace that contains the artifacts.
        tasks: `tasks/` artifacts of one task, one for each region.
        processed: `processed/` artifact of the region whose tiles are selected.
        masked: also hide the tags and entities that reveal the label of the task.
    """
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    regions = [processed_of(workspace, task) for task in tasks]
    store = TileStore.open([region.file(PROCESSED_FILE) for region in regions])
    view = TaskData.open(store, tasks).view_without_shared(store, masked)
    return view.region([region.ref for region in regions].index(processed.ref))


def check_entities(store: TileStore, view: View, needs: Needs, task: str | None, masked: bool) -> None:
    """Raises an error if the selected tiles contain no entity and the model does not read images.

    Args:
        store: opened file `processed.h5` of one region.
        view: selection of tiles, entities and tags to embed.
        needs: modalities that the model reads.
        task: name of the task, for the message.
        masked: True if `view` hides the tags and entities that reveal the label of the task.

    Raises:
        DataError: no tile has an entity, and the model does not read images.
    """
    if store.lengths(view).any() or IMAGES & needs:
        return
    region = store.regions[0].name
    where = f"all tiles of `{region}` ({len(view.tiles):,})" if len(view.tiles) != 1 else f"the only tile of `{region}`"
    if masked:
        raise DataError(
            f"the mask of task `{task}` (`mask` in its definition) hides all entities in {where}, so there is nothing "
            "to embed with `--masked`",
            hints.run("embed", task=task),
        )
    raise DataError(f"there is no entity to embed in {where}", hints.run("tile", region=region))


def check_images(store: TileStore, view: View, needs: Needs) -> None:
    """Raises an error if no selected tile has an image and the model reads nothing else.

    Args:
        store: `processed.h5` and images of one region.
        view: selection of tiles to embed.
        needs: modalities that the model reads.

    Raises:
        DataError: no tile has an image, and the model reads nothing else.
    """
    if sees_only_images(needs) and not (store.image_rows[view.tiles] >= 0).any():
        region = store.regions[0].name
        message = f"none of the {len(view.tiles):,} tiles to embed in `{region}` has an image"
        raise DataError(message, hints.run("tile", region=region, imagery=DRAWN))


def check_entity_vectors(model: Model) -> None:
    """Checks that a model computes vectors of entities.

    Raises:
        UsageError: the model reads only images, which do not show entities.
    """
    if model.needs() <= IMAGES:
        message = f"`{model.name}` reads only images, so it has vectors of tiles, but not of entities"
        raise UsageError(message, hints.again(model="tagpool"))
