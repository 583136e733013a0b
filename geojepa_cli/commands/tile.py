"""`geojepa tile`: objects clipped to tiles by the native binary, and image tiles beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.commands.tile_images import build_images as build_images
from geojepa_cli.errors import UsageError
from geojepa_cli.workspace import Artifact, Workspace, remake_hint

Bbox = tuple[float, float, float, float]  # west, south, east, north in degrees
STAGE_VERSION = 1


def tile(
    ctx: typer.Context,
    region: options.Regions = None,
    zoom: Annotated[int, typer.Option(min=14, max=18, help="Zoom of the tiles.")] = 16,
    bbox: Annotated[
        str | None, typer.Option(help="Keep tiles that meet `west,south,east,north`. Default: the box of `fetch`.")
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
    json: options.Json = False,
) -> None:
    """Clip a region's objects to tiles.

    Example: geojepa tile --region state-college
    """
    native.check_threads(threads)
    native.parse_memory(memory)
    for option, keys in (("--keep-tags", keep_tags), ("--drop-tags", drop_tags)):
        check_keys(option, keys or [])
    box = parse_bbox(bbox)
    workspace = options.workspace(ctx)
    made = []
    for source in workspace.regions("source", region):
        tiles = build_tiles(workspace, source, zoom, box, keep_tags or [], drop_tags or [], threads, memory)
        images = build_images(workspace, source, zoom, tiles, threads, skip_failed)
        if json:
            made.append((tiles.ref, {"counts": tiles.manifest["counts"], "images": images.ref if images else None}))
        else:
            say(tiles, images)
    if json:
        console.emit_json_of("tile", made)


def build_tiles(
    workspace: Workspace,
    source: Artifact,
    zoom: int = 16,
    bbox: Bbox | None = None,
    keep_tags: list[str] | None = None,
    drop_tags: list[str] | None = None,
    threads: int = 1,
    memory: str = "1G",
) -> Artifact:
    """Publishes `tiles/<region>`: `tiles.h5`, the layout of docs/formats.md.

    Without a box of its own it takes the source's, where `fetch` was given one.
    """
    fetched = source.params.get("bbox")
    bbox = bbox or (tuple(fetched) if fetched else None)
    params: dict[str, Any] = {
        "zoom": zoom,
        "bbox": list(bbox) if bbox else None,
        "keep_tags": sorted(keep_tags or []),
        "drop_tags": sorted(drop_tags or []),
    }
    with workspace.build("tiles", source.name, params, [source], STAGE_VERSION) as build:
        if build.existing:
            console.note(f"tiles/{build.existing.ref} is up to date, skipping")
            return build.existing
        arguments = ["tile", "--input", str(map_file(source)), "--output", str(build.partial / "tiles.h5")]
        arguments += ["--zoom", str(zoom), "--threads", str(threads), "--memory", str(native.parse_memory(memory))]
        if bbox:
            arguments.append("--bbox=" + ",".join(repr(value) for value in bbox))
        for key in params["keep_tags"]:
            arguments += ["--keep-tags", key]
        for key in params["drop_tags"]:
            arguments += ["--drop-tags", key]
        summary = native.run(arguments, f"tile {source.name}", remake_hint("source", source.name))
        extra = {"crs": "EPSG:4326, 1e-7 degrees", "units": {"area_m2": "m²", "length_m": "m"}}
        return build.publish(counts=summary["counts"], extra=extra)


def map_file(source: Artifact) -> Path:
    """The extract of a source artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    return source.file(names[0])


def check_keys(option: str, keys: list[str]) -> None:
    """UsageError where a key of the tag filter is empty or all blanks: it would match nothing in silence."""
    if any(not key.strip() for key in keys):
        raise UsageError(f"`{option}` is given an empty key", hint=f"{option} 'source:*'")


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
            f"`{text}` crosses the antimeridian, or its west and east are exchanged",
            hint=f"take one side of 180° at a time: --bbox={west:g},{south:g},180,{north:g}",
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
    console.table(f"tiles/{tiles.ref}", ["", "count"], rows)
    if images:
        told = images.manifest["counts"]
        more = [f"{value:,} {name}" for name, value in told.items() if name != "images" and value]
        console.say(f"images/{images.ref}: " + ", ".join([f"{told['images']:,} image tiles", *more]))
