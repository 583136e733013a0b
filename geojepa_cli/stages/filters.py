"""Filters that select the tiles of a region by number of entities, bounding box, and imagery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.tasks.build import RegionData


@dataclass(frozen=True)
class Filters:
    """Conditions that a tile must meet to be used in a task.

    Attributes:
        limits: minimum and maximum number of entities in a tile.
        bbox: bounding box (west, south, east, north) in degrees that the tile must intersect; None for no condition.
        with_imagery: if True, the tile must have an image.
    """

    limits: EntityLimits = DEFAULT_LIMITS
    bbox: Bounds | None = None
    with_imagery: bool = False

    def params(self) -> dict[str, Any]:
        """Returns the filters as a dict of artifact parameters. Filters that are not set are left out."""
        given: dict[str, Any] = {"min_entities": self.limits.low, "max_entities": self.limits.high}
        given |= {"bbox": list(self.bbox)} if self.bbox else {}
        return given | ({"with_imagery": True} if self.with_imagery else {})

    def images(self, workspace: Workspace, processed: Artifact) -> Artifact | None:
        """Returns the `images/` artifact of a region, or None if the filter `with_imagery` is not set.

        Raises:
            NotFoundError: `with_imagery` is set, but the region has no images.
        """
        if not self.with_imagery:
            return None
        images = joined_images(workspace, processed)
        if images is None:
            hint = hints.run("fetch", pbf="FILE", name=processed.name, imagery="DIR").noting("then `tile`, `process`")
            raise NotFoundError(
                f"the region `{processed.ref}` has no images, but `--with-imagery` requires images", hint
            )
        return images

    def open_region(self, workspace: Workspace, processed: Artifact) -> RegionData:
        """Opens the tiles of a region that meet the conditions of all filters.

        Raises:
            DataError: no tile meets all conditions. The message contains the number of tiles that each filter removed.
            NotFoundError: `with_imagery` is set, but the region has no images.
        """
        from geojepa_cli.tasks.build import RegionData

        images = self.images(workspace, processed)
        path = images.file(IMAGES_FILE) if images else None
        data = RegionData.open(processed.file(PROCESSED_FILE), processed.name, *self.limits, self.bbox, path)
        check_tiles_left(data.store, self.limits)
        if not len(data.base.tiles):
            reasons = [f"{count:,} {reason}" for reason, count in data.base.counts.items() if "tiles" in reason]
            hint = hints.run("build-tasks", region=processed.name)
            raise DataError(
                f"the filters remove all tiles of the region `{processed.name}`: {', '.join(reasons)}", hint
            )
        return data
