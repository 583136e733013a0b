"""`geojepa tile`: objects clipped to tiles by the native binary, and image tiles beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.commands.tile_images import build_images as build_images
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import paste
from geojepa_cli.kinds import tile_command
from geojepa_cli.workspace import Artifact, Workspace, remake_hint

Bbox = tuple[float, float, float, float]  # west, south, east, north in degrees
# Since 2, no ring runs along a tile's edge and back, and broken ones follow the even-odd rule; since 3, a relation's
# outlines of a tile come after its other parts.
STAGE_VERSION = 3


def tile(
    ctx: typer.Context,
    region: options.Regions = None,
    zoom: Annotated[int, typer.Option(min=14, max=18, help="Zoom of the tiles.")] = 16,
    bbox: Annotated[
        str | None, typer.Option(help="Keep tiles that meet `west,south,east,north`. Default: the box of `fetch`.")
    ] = None,
    polygon: Annotated[
        Path | None,
        typer.Option(help="Keep tiles that share some area with the polygons of a GeoJSON or Osmosis `.poly` file."),
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Make one region of several, under this name: what lies on a border is not doubled."
        ),
    ] = None,
    keep_tags: Annotated[
        list[str] | None,
        typer.Option(help="Keep a key that the default filter drops, such as `source:*`."),
    ] = None,
    drop_tags: Annotated[
        list[str] | None,
        typer.Option(help="Drop a key (a leading or trailing `*` matches any rest)."),
    ] = None,
    threads: options.Threads = options.default_threads(),
    memory: Annotated[str, typer.Option(help="Memory to aim at, such as `512M`; does not change the result.")] = "1G",
    skip_failed: Annotated[
        bool, typer.Option("--skip-failed", help="Publish the images without those whose imagery cannot be read.")
    ] = False,
    image_size: Annotated[int, typer.Option(help="Side of images made of scenes, px; models read 224.")] = 224,
    bands: Annotated[str, typer.Option(help="Of images made of scenes: `rgb`, or `rgbn` with near infrared.")] = "rgb",
    image_codec: Annotated[
        str, typer.Option(help="How images are stored: `raw` (mapped into memory), `webp-lossless`, or `webp`.")
    ] = "raw",
    json: options.Json = False,
) -> None:
    """Clip a region's objects to tiles.

    Example: geojepa tile --region state-college

    Example: geojepa tile --region hessen --region bayern --merge both --polygon spessart.geojson
    """
    from geojepa_cli.store.image_form import ImageForm, check_form

    native.check_threads(threads)
    native.parse_memory(memory)
    form = ImageForm(image_size, bands, image_codec)
    check_form(form)
    for option, keys in (("--keep-tags", keep_tags), ("--drop-tags", drop_tags)):
        check_keys(option, keys or [])
    area = check_area(parse_bbox(bbox), polygon)
    workspace = options.workspace(ctx)
    made = []
    for sources in regions_to_tile(workspace, region, merge):
        tiles = build_tiles(
            workspace, sources, zoom, area, keep_tags or [], drop_tags or [], threads, memory, name=merge
        )
        images = None if merge else build_images(workspace, sources[0], zoom, tiles, threads, skip_failed, form)
        if json:
            made.append((tiles.ref, {"counts": tiles.manifest["counts"], "images": images.ref if images else None}))
        else:
            say(tiles, images)
    if json:
        console.emit_json_of("tile", made)


def regions_to_tile(workspace: Workspace, region: list[str] | None, merge: str | None) -> list[list[Artifact]]:
    """The sources of each region to be made: one each, or all of them with `--merge`.

    Raises:
        UsageError: `--merge` with fewer than two regions, or with the name of a region that is there.
    """
    sources = list(workspace.regions("source", region))
    if merge is None:
        return [[source] for source in sources]
    names = {source.name for source in workspace.artifacts("source")}
    if len(sources) < 2:
        all_of_them = [word for name in sorted(names) for word in ("--region", name)]
        fetch = paste("geojepa", "fetch", "--pbf", "FILE", "--name", "NAME")
        hint = paste(*all_of_them, "--merge", merge) if len(names) > 1 else fetch
        raise UsageError("`--merge` is given one region", hint=hint)
    if merge in names:
        raise UsageError(f"`--merge {merge}`: there is a region of that name", hint=f"--merge {merge}-and-more")
    imaged = [source.name for source in sources if any(n.startswith("imagery/") for n in source.manifest["files"])]
    if imaged:
        console.warn(f"imagery of {', '.join(imaged)} is left out: `--merge` takes the maps only")
    return [sources]


def build_tiles(
    workspace: Workspace,
    sources: Artifact | Sequence[Artifact],
    zoom: int = 16,
    area: Bbox | Path | None = None,
    keep_tags: list[str] | None = None,
    drop_tags: list[str] | None = None,
    threads: int = 1,
    memory: str = "1G",
    name: str | None = None,
) -> Artifact:
    """Publishes `tiles/<region>`: `tiles.h5`, the layout of docs/formats.md.

    Args:
        workspace: where.
        sources: of one region, or of several that are read as one.
        zoom: of the tiles.
        area: a box or a file of polygons. Without one it takes the sources' box, where `fetch` was given one.
        keep_tags: keys to keep that the filter drops.
        drop_tags: keys to drop as well.
        threads: that clip.
        memory: to aim at.
        name: of the region that is made. Default: that of the first source.
    """
    sources = [sources] if isinstance(sources, Artifact) else sorted(sources, key=lambda source: source.ref)
    name = name or sources[0].name
    bbox = None if isinstance(area, Path) else area or fetched_box(sources)
    params: dict[str, Any] = {
        "zoom": zoom,
        "bbox": list(bbox) if bbox else None,
        "keep_tags": sorted(keep_tags or []),
        "drop_tags": sorted(drop_tags or []),
    }
    if isinstance(area, Path):
        params["polygon_sha256"] = hashlib.sha256(area.read_bytes()).hexdigest()
    with workspace.build("tiles", name, params, sources, STAGE_VERSION) as build:
        if build.existing:
            console.note(f"tiles/{build.existing.ref} is up to date, skipping")
            return build.existing
        arguments = ["tile", "--output", str(build.partial / "tiles.h5"), "--zoom", str(zoom)]
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
            raise DataError(error.message, hint=mend_hint(error, name, sources, area)) from error
        extra = {"crs": "EPSG:4326, 1e-7 degrees", "units": {"area_m2": "m²", "length_m": "m"}}
        return build.publish(counts=summary["counts"], extra=extra)


def mend_hint(error: DataError, name: str, sources: Sequence[Artifact], area: Bbox | Path | None) -> str:
    """What helps after the binary failed: its own hint, or else to fetch what it could not read."""
    if error.hint is None:
        broken = [source.name for source in sources if str(source.path) in error.message]
        return remake_hint("source", (broken or [sources[0].name])[0])
    if isinstance(area, Path) and error.hint.startswith("--bbox="):  # which excludes `--polygon`
        return tile_command(name, [source.name for source in sources], error.hint)
    return error.hint


def fetched_box(sources: Sequence[Artifact]) -> Bbox | None:
    """The box that `fetch` was given.

    Raises:
        UsageError: several sources, and not the same of all.
    """
    boxes = {tuple(source.params.get("bbox") or ()) for source in sources}
    if len(boxes) > 1:
        raise UsageError("the regions were fetched with different boxes", hint="--bbox=west,south,east,north")
    (box,) = boxes
    return (box[0], box[1], box[2], box[3]) if box else None


def map_file(source: Artifact) -> Path:
    """The extract of a source artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    return source.file(names[0])


def check_keys(option: str, keys: list[str]) -> None:
    """UsageError where a key of the tag filter is empty or all blanks: it would match nothing in silence."""
    if any(not key.strip() for key in keys):
        raise UsageError(f"`{option}` is given an empty key", hint=f"{option} 'source:*'")


def check_area(bbox: Bbox | None, polygon: Path | None) -> Bbox | Path | None:
    """The one of both that is given.

    Raises:
        UsageError: both are, or the polygons are in no file.
    """
    if polygon is None:
        return bbox
    if bbox is not None:
        raise UsageError(
            "`--bbox` and `--polygon` exclude each other", hint=paste("geojepa", "tile", "--polygon", str(polygon))
        )
    if not polygon.is_file():
        raise UsageError(f"`--polygon {polygon}` is no file", hint="--polygon area.geojson")
    return polygon


def parse_bbox(text: str | None) -> Bbox | None:
    """`west,south,east,north` in degrees.

    Raises:
        UsageError: not four numbers in range and order.
    """
    if text is None:
        return None
    hint = "--bbox=-77.91,40.77,-77.81,40.82"
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"`{text}` is not a bounding box `west,south,east,north`", hint=hint) from None
    if -180 <= east < west <= 180:
        raise UsageError(
            f"`{text}` crosses the antimeridian (take one side of it at a time), or its west and east are exchanged",
            hint=f"--bbox={west!r},{south!r},180,{north!r}",
        )
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(f"`{text}` is not a bounding box: west < east and south < north, in degrees", hint=hint)
    return west, south, east, north


def say(tiles: Artifact, images: Artifact | None) -> None:
    """What was made, and what was left out and why."""
    counts = tiles.manifest["counts"]
    dropped = counts.get("dropped", {})
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items() if isinstance(value, int)]
    rows += [(f"dropped: {reason.replace('_', ' ')}", f"{value:,}") for reason, value in dropped.items() if value]
    rows += [(f"repaired: {reason}", f"{value:,}") for reason, value in counts.get("repaired", {}).items()]
    console.table(f"tiles/{tiles.ref}", ["", "count"], rows)
    if images:
        told = images.manifest["counts"]
        more = [f"{value:,} {name}" for name, value in told.items() if name != "images" and value]
        console.say(f"images/{images.ref}: " + ", ".join([f"{told['images']:,} image tiles", *more]))
