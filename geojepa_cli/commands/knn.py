"""`geojepa knn`: finds the tiles or OSM elements that are most similar to a given tile or element."""

from __future__ import annotations

from textwrap import shorten
from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.neighbours import GEOJSON_FILE, JSON_FILE, PAGE_FILE
from geojepa_cli.workspace.artifact import Artifact


@example(tile="16_18052_25957", html=True)
def knn(
    ctx: typer.Context,
    tile: Annotated[
        str | None,
        typer.Option("--tile", help="Find tiles similar to this one, given as zoom_x_y (for example 16_18052_25957)."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", help="Find OSM elements similar to this one (for example way/123).")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Number of similar tiles or elements to find, 1 to 1000.")] = 8,
    model: options.ModelName = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            help="Region to search. Repeat for several regions. Default: all regions for which `geojepa process` has "
            "computed text embeddings of tags.",
        ),
    ] = None,
    exclude_same_group: Annotated[
        bool,
        typer.Option("--exclude-same-group", help="Leave out results inside the zoom-14 tile that contains the query."),
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Also make an HTML page with a map of each result.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    alpha: options.Alpha = 0.0,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Find the tiles or OSM elements that are most similar to a given one. Computes missing embeddings first."""
    made = stages.knn(
        options.workspace(ctx),
        tile,
        entity,
        k,
        model,
        region,
        exclude_same_group,
        html,
        min_entities,
        max_entities,
        device,
        threads,
        alpha,
    )
    answer = made.read_json(JSON_FILE)
    page = str(made.file(PAGE_FILE)) if html else None
    if json:
        files = {"geojson": str(made.file(GEOJSON_FILE)), "page": page}
        console.emit_json("knn", made.ref, answer | {"files": files})
    else:
        print_neighbours(answer, made, page)


def print_neighbours(answer: dict[str, Any], made: Artifact, page: str | None) -> None:
    """Prints the nearest neighbours of the query as a table, then the path of the HTML page or GeoJSON file."""
    query = answer["query"]
    rows = []
    for result in answer["neighbours"]:
        tags = (f"{tag}={count}" if query["entity"] else f"{tag} ×{count}" for tag, count in result["tags"].items())
        where = f"{result['lat']:.5f}, {result['lon']:.5f}"
        name = f"{result['entity']} in {result['tile']}" if query["entity"] else result["tile"]
        lines = [f"{name}  {result['region']}  {where}", shorten(", ".join(tags), 100, placeholder=" …"), result["url"]]
        rows.append([result["rank"], f"{result['cosine']:.4f}", "\n".join(lines)])
    what = "entities" if query["entity"] else "tiles"
    title = f"Most similar to {query['entity'] or query['tile']} of {answer['searched']:,} {what}, by {answer['model']}"
    title += f" with alpha {answer['alpha']:g}" if "alpha" in answer else ""
    caption = "; ".join(made.attribution) or None
    columns = ["", "cosine", "tile, region, latitude and longitude; main tags; link"]
    console.table(title, columns, rows, caption)
    console.print_line(f"HTML page: {page}" if page else f"GeoJSON: {made.file(GEOJSON_FILE)}")
