"""`geojepa tile`: clips OSM elements to tiles, and makes an image of each tile from imagery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages import tiles as stage
from geojepa_cli.stages.drawing import SOURCE_IMAGERY

Zoom = Annotated[int, typer.Option(help="Zoom level of the tiles to make, 14 to 18.")]
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
        metavar="NAME",
        help="Merge the regions into one region with this name. An OSM element in several regions is kept once.",
    ),
]
KeepTags = Annotated[
    list[str] | None,
    typer.Option(
        help="Keep this tag key, which is dropped by default (for example `source:*`). Repeat for several keys."
    ),
]
DropTags = Annotated[
    list[str] | None,
    typer.Option(help="Tag key to drop. A leading or trailing `*` matches any text. Repeat for several keys."),
]
Memory = Annotated[str, typer.Option(help="Approximate memory to use, such as `512M`. Does not affect the result.")]
SkipFailed = Annotated[
    bool,
    typer.Option(
        "--skip-failed", help="If the imagery of a tile cannot be read, make no image of this tile and continue."
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        help="Width and height, in pixels, of tile images that geojepa draws, or cuts from GeoTIFFs or VRTs. "
        f"Other image tiles keep their size. Models need {stage.DEFAULT_IMAGE_SIZE}."
    ),
]
Bands = Annotated[
    str,
    typer.Option(
        help="Bands of tile images that are drawn, or cut from GeoTIFFs or VRTs: `rgb`, or `rgbn` (with near infrared)."
    ),
]
ImageCodec = Annotated[
    str, typer.Option(help="Format in which tile images are stored: `raw` (uncompressed), `webp-lossless` or `webp`.")
]
Imagery = Annotated[
    str,
    typer.Option(
        help="Imagery of the tiles. `source`: the imagery that was given to `fetch`. `drawn`: images drawn from the "
        "map; they are marked as drawn wherever they are used."
    ),
]
Draw = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="With --imagery drawn: change a setting, such as `missing=0.2`. Keys: missing (share of OSM elements left "
        "out), shadows (share of high elements with a shadow), noise and jitter (grey levels), seed. Repeat the option "
        "to change several.",
    ),
]


@example(region="state-college")
@example(region="state-college", imagery="drawn", draw=["missing=0.2"])
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
    image_size: ImageSize = stage.DEFAULT_IMAGE_SIZE,
    bands: Bands = stage.DEFAULT_BANDS,
    image_codec: ImageCodec = stage.DEFAULT_CODEC,
    imagery: Imagery = SOURCE_IMAGERY,
    draw: Draw = None,
    json: options.Json = False,
) -> None:
    """Clip the OSM elements of a region to tiles."""
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
        imagery,
        draw or (),
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
