"""Stage `tiles/`: OSM objects clipped to tiles by the native binary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints, native
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace, input_names

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds


FILE = "tiles.h5"
DEFAULT_ZOOM = 16
DEFAULT_MEMORY = "1G"


def tile_hint(name: str, sources: Sequence[str], **options: hints.Value) -> Hint:
    """Returns the command that makes the tiles of a region from its sources."""
    return hints.run("tile", region=sources, merge=name if len(sources) > 1 else None, **options)


def _rebuild(remains: Remains) -> Hint:
    return tile_hint(remains.name, input_names(remains.inputs, "source") or [remains.name])


# version 2: clipped rings do not run back along a tile's edge, and invalid rings are filled by the even-odd rule;
# version 3: in each tile, area outlines of a relation come after its other parts;
# version 4: members with roles such as `subarea` are no area boundaries, duplicate tags count once, and more variants
# of OSM XML are read
TILES = Stage("tiles", version=5, rebuild=_rebuild)


class TiledRegion(NamedTuple):
    """The tiles of a region, and their images if the source has imagery."""

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
    image_size: int = 224,
    bands: str = "rgb",
    image_codec: str = "raw",
) -> list[TiledRegion]:
    """Clips OSM objects to tiles, and makes images of the tiles if the source has imagery.

    Args:
        workspace: workspace to read from and publish to.
        region: names of regions, or `source/` artifacts. Default: the only region.
        zoom: zoom level of the tiles, 14 to 18.
        bbox: bounding box (west, south, east, north) in degrees that tiles must intersect. Default: that of `fetch`.
        polygon: GeoJSON or Osmosis `.poly` file; only tiles that overlap its polygons are made.
        merge: merge the regions into one with this name.
        keep_tags: tag keys to keep although the default filter drops them.
        drop_tags: additional tag keys to drop.
        threads: number of threads; does not affect the result.
        memory: target memory use, such as `512M`; does not affect the result.
        skip_failed: leave out images whose imagery cannot be read, instead of raising an error.
        image_size: side length of images made from scenes, in pixels.
        bands: bands of images made from scenes: `rgb`, or `rgbn` with near infrared.
        image_codec: codec of images: `raw`, `webp-lossless` or `webp`.

    Returns:
        The `tiles/` and `images/` artifacts of each region.

    Raises:
        UsageError: an argument is out of range, or arguments cannot be combined.
        DataError: the extract or the imagery cannot be read.
    """
    from geojepa_cli.stages.images import check_image_form, make_images
    from geojepa_cli.store.image_form import ImageForm, check_form

    native.parse_memory(memory)
    form = ImageForm(image_size, bands, image_codec)
    check_form(form)
    for option, keys in (("--keep-tags", keep_tags), ("--drop-tags", drop_tags)):
        check_keys(option, keys)
    area = check_area(bbox, None if polygon is None else Path(polygon))
    by_region = regions_to_tile(workspace, region, merge)
    for sources in by_region if merge is None else ():
        check_image_form(sources[0], form)
    made = []
    for sources in by_region:
        tiles = make_tiles(workspace, sources, zoom, area, keep_tags, drop_tags, threads, memory, name=merge)
        images = None if merge else make_images(workspace, sources[0], zoom, tiles, threads, skip_failed, form)
        made.append(TiledRegion(tiles, images))
    return made


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
    """Publishes `tiles/<region>` with the file `tiles.h5`. docs/formats.md describes its layout.

    Args:
        workspace: workspace to publish to.
        sources: `source/` artifact of the region, or several artifacts to merge.
        zoom: zoom level of the tiles.
        area: bounding box, or path of a file with polygons. Default: the bounding box given to `fetch`, if any.
        keep_tags, drop_tags, threads, memory: as for `tile`.
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
    """Returns the error for sources that the binary could not read.

    If a source is damaged, the hint is the command that fetches it again. Otherwise it is the hint of the binary. If
    the binary has no hint, it is the command that fetches the source named in the message again.
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
    """Returns the bounding box with which sources were fetched, or None.

    Raises:
        UsageError: the sources have different bounding boxes.
    """
    boxes = {tuple(source.params.get("bbox") or ()) for source in sources}
    if len(boxes) > 1:
        raise UsageError(
            "the regions were fetched with different bounding boxes", hints.again(bbox="WEST,SOUTH,EAST,NORTH")
        )
    (box,) = boxes
    return (box[0], box[1], box[2], box[3]) if box else None


def map_file(source: Artifact) -> Path:
    """Returns the path of the OpenStreetMap extract in a `source/` artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    return source.file(names[0] if names else "map.osm.pbf")


def check_keys(option: str, keys: Sequence[str]) -> None:
    """Checks the keys given to `--keep-tags` or `--drop-tags`.

    Raises:
        UsageError: a key is blank.
    """
    if any(not key.strip() for key in keys):
        raise UsageError(f"`{option}` contains an empty tag key", hints.again(**{option.strip("-"): "source:*"}))


def check_area(bbox: Bounds | None, polygon: Path | None) -> Bounds | Path | None:
    """Returns the bounding box or the path of the polygon file, whichever is given.

    Raises:
        UsageError: both are given, or the polygon file does not exist.
    """
    if polygon is None:
        return bbox
    if bbox is not None:
        raise UsageError("`--bbox` cannot be combined with `--polygon`", hints.run("tile", polygon=polygon))
    if not polygon.is_file():
        raise UsageError(f"`--polygon {polygon}` is not a file", hints.again(polygon="FILE"))
    return polygon


def regions_to_tile(workspace: Workspace, regions: Regions, merge: str | None) -> list[Sequence[Artifact]]:
    """Returns the `source/` artifacts of each region to make: one per region, or all of them for a merged region.

    Raises:
        UsageError: `merge` is given with fewer than two regions, or with the name of an existing region.
    """
    sources = find_regions(workspace, "source", regions)
    if merge is None:
        return [[source] for source in sources]
    names = sorted({source.name for source in workspace.artifacts("source")})
    if len(sources) < 2:
        more = hints.again(region=names, merge=merge)
        fetch = hints.run("fetch", pbf="FILE", name="NAME")
        raise UsageError("`--merge` requires at least two regions", more if len(names) > 1 else fetch)
    if merge in names:
        raise UsageError(
            f"`--merge {merge}`: a region with this name already exists", hints.again(merge=f"{merge}-and-more")
        )
    with_imagery = [s.name for s in sources if any(name.startswith("imagery/") for name in s.manifest["files"])]
    if with_imagery:
        console.warn(f"imagery of {', '.join(with_imagery)} is left out: `--merge` merges only the maps")
    return [sources]
