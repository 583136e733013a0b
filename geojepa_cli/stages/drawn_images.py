"""Stage `images/` without imagery: draws the image of each tile from the OSM elements in the tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import console
from geojepa_cli.config.images import DRAWN_ATTRIBUTION
from geojepa_cli.stages.drawing import drawing_params
from geojepa_cli.stages.images import FILE, IMAGES
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.drawing import DrawingConfig
    from geojepa_cli.store.image_form import ImageForm


def draw_images(
    workspace: Workspace,
    sources: Sequence[Artifact],
    tiles: Artifact,
    drawing: DrawingConfig,
    form: ImageForm,
    threads: int = 1,
) -> Artifact:
    """Publishes the artifact `images/<region>` with images that are drawn from the map.

    Args:
        workspace: workspace to publish to.
        sources: `source/` artifacts from which the tiles were made.
        tiles: `tiles/` artifact of the region.
        drawing: settings of the images.
        form: size, bands and codec of the images.
        threads: number of threads; does not affect the result.

    Raises:
        DataError: the tiles cannot be read.
    """
    params = {"zoom": tiles.params["zoom"], **form.params, **drawing_params(drawing)}

    def write(build: Build) -> Artifact:
        from geojepa_cli.drawing.region import write_drawn_images
        from geojepa_cli.store.reader import RegionStore

        with rebuilding(tiles), console.progress(f"draw {tiles.name}") as meter:
            region = RegionStore(tiles.file("tiles.h5"), tiles.name)
            counts = write_drawn_images(region, build.partial / FILE, drawing, form, threads, meter.update)
        return build.publish(counts=counts, attribution=[DRAWN_ATTRIBUTION])

    return IMAGES.make(workspace, tiles.name, params, [*sources, tiles], write)
