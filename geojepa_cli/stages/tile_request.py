"""Checks of the arguments of the command `tile`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.drawing import Settings, check_drawing
from geojepa_cli.stages.stage import Regions, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.drawing import DrawingConfig
    from geojepa_cli.grid import Bounds
    from geojepa_cli.store.image_form import ImageForm


class WantedImages(NamedTuple):
    """Images that the command `tile` makes.

    Attributes:
        form: size, bands and codec of the images.
        drawing: settings of the images to draw; None to make images from the imagery of the source.
    """

    form: ImageForm
    drawing: DrawingConfig | None = None


def check_images(image_size: int, bands: str, image_codec: str, imagery: str, draw: Settings) -> WantedImages:
    """Checks the arguments of `geojepa_cli.stages.tile` that describe images.

    Raises:
        UsageError: an argument is out of range, or a setting is not valid.
    """
    from geojepa_cli.store.image_form import ImageForm, check_form

    form = ImageForm(image_size, bands, image_codec)
    check_form(form)
    return WantedImages(form, check_drawing(imagery, draw))


def check_scenes(by_region: Sequence[Sequence[Artifact]], wanted: WantedImages) -> None:
    """Checks that the wanted images can be made from the imagery of each region.

    Raises:
        UsageError: the imagery consists of image tiles, but the wanted images are not 224 × 224 pixels and RGB.
    """
    from geojepa_cli.stages.images import check_image_form

    for sources in by_region if wanted.drawing is None else ():
        check_image_form(sources[0], wanted.form)


def check_keys(keep_tags: Sequence[str], drop_tags: Sequence[str]) -> None:
    """Checks the tag keys that were given to the options `--keep-tags` and `--drop-tags`.

    Raises:
        UsageError: a tag key is empty or blank.
    """
    for option, keys in (("keep-tags", keep_tags), ("drop-tags", drop_tags)):
        if any(not key.strip() for key in keys):
            raise UsageError(f"`--{option}` contains an empty tag key", hints.again(**{option: "source:*"}))


def check_area(bbox: Bounds | None, polygon: Path | None) -> Bounds | Path | None:
    """Returns the bounding box or the path of the polygon file, or None if neither is given.

    Raises:
        UsageError: both are given, or the polygon file does not exist.
    """
    if polygon is None:
        return bbox
    if bbox is not None:
        raise UsageError(
            "`--bbox` cannot be combined with `--polygon`: each of them selects the tiles",
            hints.run("tile", polygon=polygon),
        )
    if not polygon.is_file():
        raise UsageError(f"`--polygon {polygon}` is not a file", hints.again(polygon="FILE"))
    return polygon


def regions_to_tile(
    workspace: Workspace, regions: Regions, merge: str | None, warn: bool = True
) -> list[Sequence[Artifact]]:
    """Returns a list of the regions to make. Each region is a list of its `source/` artifacts.

    Args:
        workspace: workspace that contains the regions.
        regions: names of regions, or `source/` artifacts.
        merge: name of the region into which all given regions are merged; None to keep them separate.
        warn: warn if regions with imagery are merged, because merged regions have no imagery.

    Raises:
        UsageError: `merge` is given for fewer than two regions, or is the name of an existing region.
    """
    sources = find_regions(workspace, "source", regions)
    if merge is None:
        return [[source] for source in sources]
    names = sorted({source.name for source in workspace.artifacts("source")})
    if len(sources) < 2:
        more = hints.again(region=names, merge=merge)
        fetch = hints.run("fetch", pbf="FILE", name="NAME")
        raise UsageError("`--merge` requires at least two regions in `--region`", more if len(names) > 1 else fetch)
    if merge in names:
        raise UsageError(
            f"`--merge {merge}`: a region with this name already exists", hints.again(merge=f"{merge}-and-more")
        )
    with_imagery = [s.name for s in sources if any(name.startswith("imagery/") for name in s.manifest["files"])]
    if with_imagery and warn:
        console.warn(
            f"the imagery of {', '.join(with_imagery)} is left out: `--merge` merges only the maps, not the imagery"
        )
    return [sources]
