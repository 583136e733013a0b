"""`tiles/`: objects clipped to tiles by the native binary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints, native
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.stage import Stage, as_command
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
    """Returns the command that makes the tiles of a region from those of its sources."""
    return hints.run("tile", region=sources, merge=name if len(sources) > 1 else None, **options)


def _rebuild(remains: Remains) -> Hint:
    return tile_hint(remains.name, input_names(remains.inputs, "source") or [remains.name])


# version 2: no ring runs along a tile's edge and back, and broken rings follow the even-odd rule;
# version 3: a relation's outlines of a tile come after its other parts;
# version 4: members with roles such as `subarea` bound no area, a repeated tag counts once, more forms of OSM XML
TILES = Stage("tiles", version=4, rebuild=_rebuild)


class TiledRegion(NamedTuple):
    """The tiles of a region, and their images where the source has imagery."""

    tiles: Artifact
    images: Artifact | None


@as_command("tile")
def tile(
    workspace: Workspace,
    region: str | Sequence[str] | None = None,
    zoom: int = DEFAULT_ZOOM,
    bbox: Bounds | None = None,
    polygon: Path | None = None,
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
    """Publishes `tiles/<region>` and, where the source has imagery, `images/<region>`.

    Args:
        workspace: to publish in.
        region: one or several names. Default: the only region.
        zoom: of the tiles, 14 to 18.
        bbox: west, south, east, north in degrees: keep the tiles that meet it. Default: the box of `fetch`.
        polygon: a GeoJSON or Osmosis `.poly` file: keep the tiles that share area with its polygons.
        merge: make one region of several, with this name.
        keep_tags: keys to keep that the default filter drops.
        drop_tags: further keys to drop.
        threads: do not change the result.
        memory: memory to aim at, such as `512M`; does not change the result.
        skip_failed: publish the images without those whose imagery cannot be read.
        image_size: side of images made from scenes, px.
        bands: of images made from scenes: `rgb`, or `rgbn` with near infrared.
        image_codec: `raw`, `webp-lossless` or `webp`.

    Raises:
        UsageError: an argument is out of range, or arguments exclude each other.
        DataError: the extract or the imagery cannot be read.
    """
    from geojepa_cli.stages.images import make_images  # registers its kind, which comes after `tiles`
    from geojepa_cli.store.image_form import ImageForm, check_form

    native.check_threads(threads)
    native.parse_memory(memory)
    form = ImageForm(image_size, bands, image_codec)
    check_form(form)
    for option, keys in (("--keep-tags", keep_tags), ("--drop-tags", drop_tags)):
        check_keys(option, keys)
    area = check_area(bbox, polygon)
    made = []
    for sources in regions_to_tile(workspace, [region] if isinstance(region, str) else region, merge):
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
    """Publishes `tiles/<region>`: `tiles.h5`, with the layout of docs/formats.md.

    Args:
        workspace: to publish in.
        sources: of one region, or several that are read as one.
        zoom: of the tiles.
        area: a bounding box, or a file of polygons. Default: the sources' box, where `fetch` was given one.
        keep_tags: keys to keep that the default filter drops.
        drop_tags: further keys to drop.
        threads: do not change the result.
        memory: memory to aim at; does not change the result.
        name: of the region. Default: the name of the first source.
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
    """Builds the error for sources that the binary could not read.

    Its hint fetches a source that is damaged, else is the binary's or, where that has none, fetches what it names.
    """
    for source in sources:
        if source.verify():  # with the size in the manifest: `fetch` alone would skip it
            return source.broken(error.message)
    if error.hint is None:
        named = [source for source in sources if str(source.path) in error.message]
        return DataError(error.message, (named or sources)[0].rebuild_hint())
    box = dict(error.hint.options).get("--bbox")
    if isinstance(area, Path) and box is not None:  # `--bbox` excludes `--polygon`
        return DataError(error.message, tile_hint(name, [source.name for source in sources], bbox=box))
    return DataError(error.message, error.hint)


def fetched_box(sources: Sequence[Artifact]) -> Bounds | None:
    """Returns the bounding box that `fetch` was given.

    Raises:
        UsageError: the sources have different ones.
    """
    boxes = {tuple(source.params.get("bbox") or ()) for source in sources}
    if len(boxes) > 1:
        raise UsageError(
            "the regions were fetched with different bounding boxes", hints.again(bbox="WEST,SOUTH,EAST,NORTH")
        )
    (box,) = boxes
    return (box[0], box[1], box[2], box[3]) if box else None


def map_file(source: Artifact) -> Path:
    """Returns the extract of a source artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    return source.file(names[0] if names else "map.osm.pbf")


def check_keys(option: str, keys: Sequence[str]) -> None:
    """Checks keys of the tag filter.

    Raises:
        UsageError: one is blank, and would match nothing.
    """
    if any(not key.strip() for key in keys):
        raise UsageError(f"`{option}` has an empty key", hints.again(**{option.strip("-"): "source:*"}))


def check_area(bbox: Bounds | None, polygon: Path | None) -> Bounds | Path | None:
    """Returns the one that is given.

    Raises:
        UsageError: both are given, or the file of polygons does not exist.
    """
    if polygon is None:
        return bbox
    if bbox is not None:
        raise UsageError("`--bbox` and `--polygon` exclude each other", hints.run("tile", polygon=polygon))
    if not polygon.is_file():
        raise UsageError(f"`--polygon {polygon}` is not a file", hints.again(polygon="area.geojson"))
    return polygon


def regions_to_tile(workspace: Workspace, regions: Sequence[str] | None, merge: str | None) -> list[Sequence[Artifact]]:
    """Returns the sources of each region to be made: one each, or all of them with `--merge`.

    Raises:
        UsageError: `--merge` with fewer than two regions, or with the name of an existing region.
    """
    sources = workspace.regions("source", regions)
    if merge is None:
        return [[source] for source in sources]
    names = sorted({source.name for source in workspace.artifacts("source")})
    if len(sources) < 2:
        more = hints.again(region=names, merge=merge)
        fetch = hints.run("fetch", pbf="FILE", name="NAME")
        raise UsageError("`--merge` needs at least two regions", more if len(names) > 1 else fetch)
    if merge in names:
        raise UsageError(f"`--merge {merge}`: a region of that name exists", hints.again(merge=f"{merge}-and-more"))
    with_imagery = [s.name for s in sources if any(name.startswith("imagery/") for name in s.manifest["files"])]
    if with_imagery:
        console.warn(f"imagery of {', '.join(with_imagery)} is left out: `--merge` takes the maps only")
    return [sources]
