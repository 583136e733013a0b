"""`geojepa tile`: clips OSM objects to tiles, and makes an image of each tile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages import tiles as stage

Zoom = Annotated[int, typer.Option(help="Zoom level of the tiles, 14 to 18.")]
Box = Annotated[
    str | None,
    typer.Option(
        help="Make only tiles that intersect this bounding box: `west,south,east,north` in degrees. "
        "Default: the bounding box given to `fetch`."
    ),
]
Polygon = Annotated[
    Path | None,
    typer.Option(help="Make only tiles that overlap the polygons in this GeoJSON or Osmosis `.poly` file."),
]
Merge = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Merge several regions into one with this name. Objects in several extracts are kept once."
    ),
]
KeepTags = Annotated[
    list[str] | None,
    typer.Option(help="Tag key to keep although the default filter drops it, such as `source:*`. Can be repeated."),
]
DropTags = Annotated[
    list[str] | None,
    typer.Option(help="Tag key to drop. A leading or trailing `*` is a wildcard. Can be repeated."),
]
Memory = Annotated[str, typer.Option(help="Target memory use, such as `512M`. Does not affect the result.")]
SkipFailed = Annotated[
    bool, typer.Option("--skip-failed", help="Leave out images whose imagery cannot be read, instead of failing.")
]
ImageSize = Annotated[int, typer.Option(help="Side length in pixels of images made from scenes. Models need 224.")]
Bands = Annotated[str, typer.Option(help="Bands of images made from scenes: `rgb`, or `rgbn` with near infrared.")]
ImageCodec = Annotated[
    str, typer.Option(help="Image codec: `raw` (uncompressed, memory-mapped), `webp-lossless` or `webp`.")
]


@example(region="state-college")
@example(region=["hessen", "bayern"], merge="both", polygon="spessart.geojson")
def tile(
    ctx: typer.Context,
    region: options.Regions = None,
    zoom: Zoom = stage.DEFAULT_ZOOM,
    bbox: Box = None,
    polygon: Polygon = None,
    merge: Merge = None,
    keep_tags: KeepTags = None,
    drop_tags: DropTags = None,
    threads: options.Threads = options.default_threads(),
    memory: Memory = stage.DEFAULT_MEMORY,
    skip_failed: SkipFailed = False,
    image_size: ImageSize = 224,
    bands: Bands = "rgb",
    image_codec: ImageCodec = "raw",
    json: options.Json = False,
) -> None:
    """Clip the OSM objects of a region to tiles."""
    made = stage.tile(
        options.workspace(ctx),
        region,
        zoom,
        options.parse_bbox(bbox),
        polygon,
        merge,
        keep_tags or (),
        drop_tags or (),
        threads,
        memory,
        skip_failed,
        image_size,
        bands,
        image_codec,
    )
    if json:
        rows = [
            (tiles.ref, {"counts": tiles.manifest["counts"], "images": images.ref if images else None})
            for tiles, images in made
        ]
        console.emit_json_each("tile", rows)
        return
    for tiles, images in made:
        print_counts(tiles)
        if images:
            print_counts(images)
