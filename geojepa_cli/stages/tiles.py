"""Stage `tiles/`: the program `geojepa-tiler` clips OSM elements to map tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import hints, native
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.drawing import SOURCE_IMAGERY, Settings
from geojepa_cli.stages.rebuild import box, input_refs, number, texts
from geojepa_cli.stages.stage import Regions, Stage, as_command
from geojepa_cli.stages.tile_request import (
    WantedImages,
    check_area,
    check_images,
    check_keys,
    check_scenes,
    regions_to_tile,
)
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds


FILE = "tiles.h5"
DEFAULT_ZOOM = 16
DEFAULT_MEMORY = "1G"
DEFAULT_IMAGE_SIZE, DEFAULT_BANDS, DEFAULT_CODEC = 224, "rgb", "raw"


def tile_hint(name: str, sources: Sequence[str], **options: hints.Value) -> Hint:
    """Returns the command that makes the tiles of a region.

    Args:
        name: name of the region.
        sources: names of the `source/` artifacts. Several sources are merged into the region.
        options: further options of the command.
    """
    return hints.run("tile", region=sources, merge=name if len(sources) > 1 else None, **options)


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    return tile_hint(
        remains.name,
        input_refs(remains, "source") or [remains.name],
        zoom=number(params.get("zoom"), DEFAULT_ZOOM),
        bbox=box(params.get("bbox")),
        polygon="FILE" if params.get("polygon_sha256") else None,
        keep_tags=texts(params.get("keep_tags")),
        drop_tags=texts(params.get("drop_tags")),
    )


# version 2: clipped rings do not run back along a tile's edge, and invalid rings are filled by the even-odd rule;
# version 3: in each tile, area outlines of a relation come after its other parts;
# version 4: members with roles such as `subarea` are no area boundaries, duplicate tags count once, and more variants
# of OSM XML are read
TILES = Stage(
    "tiles", version=5, rebuild=_rebuild, made_from="source", of_region=True, variant=("zoom",), files=(FILE,)
)


class TiledRegion(NamedTuple):
    """The `tiles/` artifact of a region, and its `images/` artifact or None if it has no images."""

    tiles: Artifact
    images: Artifact | None


@as_command("tile")
def tile(
    workspace: Workspace,
    region: Regions = None,
    zoom: int = DEFAULT_ZOOM,
    bbox: Bounds | None = None,
    polygon: str | Path | None = None,
    merge: str | None = None,
    keep_tags: Sequence[str] = (),
    drop_tags: Sequence[str] = (),
    threads: int = 1,
    memory: str = DEFAULT_MEMORY,
    skip_failed: bool = False,
    image_size: int = DEFAULT_IMAGE_SIZE,
    bands: str = DEFAULT_BANDS,
    image_codec: str = DEFAULT_CODEC,
    imagery: str = SOURCE_IMAGERY,
    draw: Settings = (),
) -> list[TiledRegion]:
    """Clips OSM elements to map tiles. Also makes an image for each tile: from the imagery of the source, or drawn.

    Args:
        workspace: workspace to read from and publish to.
        region: names of regions, or `source/` artifacts. Default: the only region in the workspace.
        zoom: zoom level of the tiles, 14 to 18.
        bbox: bounding box (west, south, east, north) in degrees that tiles must intersect. Default: the bounding box
            that was given to `fetch`.
        polygon: GeoJSON or Osmosis `.poly` file; only tiles that overlap its polygons are made.
        merge: merge all given regions into one region with this name.
        keep_tags: tag keys to keep although they are dropped by default.
        drop_tags: tag keys to drop in addition to those that are dropped by default.
        threads: number of threads; does not affect the result.
        memory: approximate limit of memory use, such as `512M`; does not affect the result.
        skip_failed: make no image for tiles whose imagery cannot be read, instead of raising an error.
        image_size: side length in pixels of images that are drawn, or made from scenes (such as GeoTIFF files).
        bands: bands of images that are drawn or made from scenes: `rgb`, or `rgbn` (with near infrared).
        image_codec: compression of images: `raw` (none), `webp-lossless` or `webp` (lossy).
        imagery: `source` for the imagery of the source, or `drawn` to draw images from the map.
        draw: settings of drawn images, such as `{"missing": 0.2}` or `["missing=0.2"]`. The keys are `missing`,
            `shadows`, `noise`, `jitter` and `seed`, described in `geojepa_cli.config.drawing`.

    Returns:
        The `tiles/` and `images/` artifact of each region.

    Raises:
        UsageError: an argument is out of range, or arguments cannot be combined.
        DataError: the extract or the imagery cannot be read.
    """
    native.parse_memory(memory)
    check_keys(keep_tags, drop_tags)
    wanted = check_images(image_size, bands, image_codec, imagery, draw)
    area = check_area(bbox, None if polygon is None else Path(polygon))
    by_region = regions_to_tile(workspace, region, merge, warn=wanted.drawing is None)
    if merge is None:
        check_scenes(by_region, wanted)
    made = []
    for sources in by_region:
        tiles = make_tiles(workspace, sources, zoom, area, keep_tags, drop_tags, threads, memory, name=merge)
        images = _make_images(workspace, sources, tiles, wanted, threads, skip_failed)
        made.append(TiledRegion(tiles, images))
    return made


def _make_images(
    workspace: Workspace,
    sources: Sequence[Artifact],
    tiles: Artifact,
    wanted: WantedImages,
    threads: int,
    skip_failed: bool,
) -> Artifact | None:
    """Draws the images of a region, or makes them from the imagery of its source. A merged region has no imagery."""
    from geojepa_cli.stages.drawn_images import draw_images
    from geojepa_cli.stages.images import make_images

    if wanted.drawing is not None:
        return draw_images(workspace, sources, tiles, wanted.drawing, wanted.form, threads)
    if len(sources) > 1:
        return None
    return make_images(workspace, sources[0], tiles.params["zoom"], tiles, threads, skip_failed, wanted.form)


def make_tiles(
    workspace: Workspace,
    sources: Artifact | Sequence[Artifact],
    zoom: int = DEFAULT_ZOOM,
    area: Bounds | Path | None = None,
    keep_tags: Sequence[str] = (),
    drop_tags: Sequence[str] = (),
    threads: int = 1,
    memory: str = DEFAULT_MEMORY,
    name: str | None = None,
) -> Artifact:
    """Publishes the artifact `tiles/<region>` with the file `tiles.h5`, described in docs/formats.md.

    Args:
        workspace: workspace to publish to.
        sources: `source/` artifact of the region, or several `source/` artifacts to merge into the region.
        zoom: zoom level of the tiles.
        area: bounding box, or path of a file with polygons, that limits the tiles. Default: the bounding box that was
            given to `fetch`, if any.
        keep_tags: tag keys to keep although they are dropped by default.
        drop_tags: tag keys to drop in addition to those that are dropped by default.
        threads, memory: number of threads, and approximate limit of memory use such as `512M`.
        name: name of the region. Default: the name of the first source.

    Raises:
        DataError: a source cannot be read.
    """
    sources = [sources] if isinstance(sources, Artifact) else sorted(sources, key=lambda source: source.ref)
    name = name or sources[0].name
    bbox = None if isinstance(area, Path) else area or fetched_box(sources)
    params: dict[str, Any] = {
        "zoom": zoom,
        "bbox": list(bbox) if bbox else None,
        "keep_tags": sorted(keep_tags),
        "drop_tags": sorted(drop_tags),
    }
    if isinstance(area, Path):
        params["polygon_sha256"] = hashlib.sha256(area.read_bytes()).hexdigest()

    def write(build: Build) -> Artifact:
        arguments = ["tile", "--output", str(build.partial / FILE), "--zoom", str(zoom)]
        for source in sources:
            arguments += ["--input", str(map_file(source))]
        arguments += ["--threads", str(threads), "--memory", str(native.parse_memory(memory))]
        if bbox:
            arguments.append("--bbox=" + ",".join(repr(value) for value in bbox))
        if isinstance(area, Path):
            arguments += ["--polygon", str(area)]
        for key in params["keep_tags"]:
            arguments += ["--keep-tags", key]
        for key in params["drop_tags"]:
            arguments += ["--drop-tags", key]
        try:
            summary = native.run(arguments, f"tile {name}")
        except DataError as error:
            raise _failure(error, name, sources, area) from error
        extra = {"crs": "EPSG:4326, 1e-7 degrees", "units": {"area_m2": "m²", "length_m": "m"}}
        return build.publish(counts=summary["counts"], extra=extra)

    return TILES.make(workspace, name, params, sources, write)


def _failure(error: DataError, name: str, sources: Sequence[Artifact], area: Bounds | Path | None) -> DataError:
    """Returns the error to raise after `geojepa-tiler` failed, with a better hint.

    If the file of a source is damaged, or if the program printed no hint, the hint is the command that fetches the
    source again. Otherwise, it is the hint that the program printed.

    Args:
        error: error with the message and the hint of the program.
        name: name of the region.
        sources: `source/` artifacts that the program read.
        area: bounding box or polygon file that limits the tiles, or None.
    """
    for source in sources:
        if source.verify():  # damaged files of unchanged size, which `geojepa fetch` alone would not replace
            return source.broken(error.message)
    if error.hint is None:
        named = [source for source in sources if str(source.path) in error.message]
        return DataError(error.message, (named or sources)[0].rebuild_hint())
    box = dict(error.hint.options).get("--bbox")
    if isinstance(area, Path) and box is not None:  # `--bbox` must replace `--polygon`
        return DataError(error.message, tile_hint(name, [source.name for source in sources], bbox=box))
    return DataError(error.message, error.hint)


def fetched_box(sources: Sequence[Artifact]) -> Bounds | None:
    """Returns the bounding box that was given to `fetch` for these sources, or None if there was no bounding box.

    Raises:
        UsageError: the sources were fetched with different bounding boxes.
    """
    boxes = {tuple(source.params.get("bbox") or ()) for source in sources}
    if len(boxes) > 1:
        raise UsageError(
            "the regions were fetched with different bounding boxes, so `--bbox` is required",
            hints.again(bbox="WEST,SOUTH,EAST,NORTH"),
        )
    (box,) = boxes
    return (box[0], box[1], box[2], box[3]) if box else None


def map_file(source: Artifact) -> Path:
    """Returns the path of the map file (the OpenStreetMap extract) in a `source/` artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    if not names:
        raise source.broken(f"`{source.path}` has no map file")
    return source.file(names[0])
