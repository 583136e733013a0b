"""The filters of tiles at read time: limits of entities, a bounding box, tiles with imagery only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli.commands.imagery import images_of
from geojepa_cli.commands.limits import DEFAULT, Limits, check_some_left
from geojepa_cli.commands.tile import Bbox
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.build import RegionData

Box = Annotated[
    str | None, typer.Option("--bbox", help="Only tiles that meet this box: west,south,east,north in degrees.")
]
WithImagery = Annotated[bool, typer.Option("--with-imagery", help="Only tiles that have an image.")]


@dataclass(frozen=True)
class Filters:
    """Which tiles are read.

    Attributes:
        limits: fewest and most entities.
        bbox: (west, south, east, north) in degrees; tiles that meet it stay.
        with_imagery: only tiles that have an image.
    """

    limits: Limits = DEFAULT
    bbox: Bbox | None = None
    with_imagery: bool = False

    def params(self) -> dict[str, Any]:
        """What of them decides an artifact; nothing for what was not asked for."""
        given: dict[str, Any] = {"min_entities": self.limits.low, "max_entities": self.limits.high}
        given |= {"bbox": list(self.bbox)} if self.bbox else {}
        return given | ({"with_imagery": True} if self.with_imagery else {})

    def images(self, workspace: Workspace, processed: Artifact) -> Artifact | None:
        """The images of a region where only tiles with one are wanted.

        Raises:
            NotFoundError: it has none.
        """
        if not self.with_imagery:
            return None
        images = images_of(workspace, processed)
        if images is None:
            hint = f"geojepa fetch --pbf FILE --name {processed.name} --imagery DIR, then tile and process"
            raise NotFoundError(f"`{processed.ref}` has no images, and --with-imagery asks for some", hint=hint)
        return images

    def open_region(self, workspace: Workspace, processed: Artifact, command: str) -> RegionData:
        """Opens a region for tasks.

        Args:
            command: to be given other filters, for the hint.

        Raises:
            DataError: no tile is left; says why.
        """
        from geojepa_cli.tasks.build import RegionData

        images = self.images(workspace, processed)
        path = images.file("images.h5") if images else None
        data = RegionData.open(processed.file("processed.h5"), processed.name, *self.limits, self.bbox, path)
        check_some_left(data.store, self.limits, command)
        if not len(data.base.tiles):
            told = ", ".join(f"{count:,} {reason}" for reason, count in data.base.counts.items() if "tiles" in reason)
            raise DataError(f"no tile of `{processed.name}` is left: {told}", hint=command)
        return data
