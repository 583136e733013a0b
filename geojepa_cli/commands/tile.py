"""`geojepa tile`: objects clipped to tiles by the native binary, and image tiles beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.stages.images import make_images
from geojepa_cli.stages.tiles import check_area, check_keys, make_tiles, regions_to_tile
from geojepa_cli.workspace.artifact import Artifact


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
    area = check_area(options.parse_bbox(bbox), polygon)
    workspace = options.workspace(ctx)
    made = []
    for sources in regions_to_tile(workspace, region, merge):
        tiles = make_tiles(
            workspace, sources, zoom, area, keep_tags or (), drop_tags or (), threads, memory, name=merge
        )
        images = None if merge else make_images(workspace, sources[0], zoom, tiles, threads, skip_failed, form)
        if json:
            made.append((tiles.ref, {"counts": tiles.manifest["counts"], "images": images.ref if images else None}))
        else:
            say(tiles, images)
    if json:
        console.emit_json_each("tile", made)


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
        console.print_line(f"images/{images.ref}: " + ", ".join([f"{told['images']:,} image tiles", *more]))
