"""`geojepa heatmap`: maps the similarity of an OSM element or a place to all points of a region."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.heatmap_files import JSON_FILE, PAGE_FILE, PNG_FILE, TIFF_FILE
from geojepa_cli.workspace.artifact import Artifact

Entity = Annotated[
    str | None, typer.Option("--entity", help="OSM element to compare with all points (for example way/123).")
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="Place to compare with all points, given as LON,LAT. Its vector is read from the image or, without an "
        "image, from its location.",
    ),
]
Photo = Annotated[
    Path | None,
    typer.Option(
        "--photo",
        help="JPEG, PNG or WebP file to compare with all points, with a model that was trained with photos. "
        "Its place in EXIF is not used.",
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="GAIR model to use, `name` or `name@id`. Default: the newest one.")
]
Region = Annotated[
    str | None, typer.Option("--region", help="Region on the map. Default: the only region in the workspace.")
]
FromRegion = Annotated[
    str | None,
    typer.Option("--from-region", help="Region of the element or place, if it is not the region on the map."),
]
View = Annotated[
    str | None,
    typer.Option(
        "--view",
        help="Vector of the element: `ground`, what its tags say (default), or `image`, what the image shows.",
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        help="How points are read: `image`, from the images of tiles, or `place`, from longitude and latitude "
        "alone, also where there is no image.",
    ),
]
Resolution = Annotated[
    float | None,
    typer.Option(
        "--resolution",
        help="Maximum distance of neighbouring points in metres. Default: 8 points per side of a cell of the model "
        "with `--by image`, 16 points per side of a tile with `--by place`.",
    ),
]


@example(entity="way/123", model="gair")
@example(at="-80.839,35.004", by="place", resolution=30)
def heatmap(
    ctx: typer.Context,
    entity: Entity = None,
    at: At = None,
    photo: Photo = None,
    model: Model = None,
    region: Region = None,
    from_region: FromRegion = None,
    view: View = None,
    by: By = "image",
    resolution: Resolution = None,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Map the similarity of an OSM element, a place or a photo to all points of a region: GeoTIFF, PNG and page."""
    made = stages.heatmap(
        options.workspace(ctx), entity, at, model, region, from_region, view, by, resolution, device, threads, photo
    )
    answer = made.read_json(JSON_FILE)
    files = {"geotiff": str(made.file(TIFF_FILE)), "png": str(made.file(PNG_FILE)), "page": str(made.file(PAGE_FILE))}
    if json:
        console.emit_json("heatmap", made.ref, answer | {"files": files})
    else:
        print_heatmap(answer, made, files)


def print_heatmap(answer: dict[str, Any], made: Artifact, files: dict[str, str]) -> None:
    """Prints the most similar points as a table, then the paths of the files."""
    query = answer["query"]
    name = query.get("entity") or ",".join(map(str, query.get("at", ()))) or "the photo"
    if "tile" in query:
        console.note(f"the vector of {name} is that of its {query['read_from']}, in tile {query['tile']}")
    rows = [
        [one["rank"], f"{one['score']:.3f}", f"{one['lat']:.5f}, {one['lon']:.5f}  {one['tile']}\n{one['url']}"]
        for one in answer["peaks"]
    ]
    title = f"Points most similar to {name} in {answer['tiles']:,} tiles, every {answer['resolution_m']:.1f} m, "
    title += f"by {answer['model']}"
    caption = f"mean {answer['mean']:.3f}, standard deviation {answer['std']:.3f}"
    caption = "\n".join([caption, *filter(None, ["; ".join(made.attribution)])])
    console.table(title, ["", "cosine", "latitude and longitude, tile; link"], rows, caption)
    for kind, path in zip(("GeoTIFF", "PNG", "HTML page"), files.values(), strict=True):
        console.print_line(f"{kind}: {path}")
