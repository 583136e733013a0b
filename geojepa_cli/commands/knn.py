"""`geojepa knn`: the places most like a tile or a map entity."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embeddings import find_model
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.neighbours import check_query_form, make_neighbours, searchable_regions
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    pass


def knn(
    ctx: typer.Context,
    tile: Annotated[str | None, typer.Option("--tile", help="A tile, such as 16_18052_25957.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="An OSM element, such as way/123.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Neighbours.")] = 8,
    model: options.Model = None,
    region: options.Regions = None,
    exclude_same_group: Annotated[
        bool, typer.Option("--exclude-same-group", help="Leave out the query's own zoom-14 block.")
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Also make a page with a map of every neighbour.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Find the places most like a tile or an entity.

    Example: geojepa knn --tile 16_18052_25957 --html
    """
    if (tile is None) == (entity is None):
        raise UsageError("give either --tile or --entity", "geojepa knn --tile 16_18052_25957")
    check_device(device)
    limits = entity_limits(min_entities, max_entities)
    workspace = options.workspace(ctx)
    check_query_form(tile, entity)
    regions = workspace.regions("processed", region or searchable_regions(workspace))
    chosen = find_model(workspace, model)
    made = make_neighbours(
        workspace, chosen, regions, tile, entity, k, exclude_same_group, html, device, threads, limits
    )
    result = made.read_json("neighbours.json")
    page = str(made.file("neighbours.html")) if html else None
    if json:
        files = {"geojson": str(made.file("neighbours.geojson")), "page": page}
        console.emit_json("knn", made.ref, result | {"files": files})
        return
    say(result, made, page)


def say(result: dict[str, Any], made: Artifact, page: str | None) -> None:
    """The neighbours as a table."""
    query = result["query"]
    rows = []
    for place in result["neighbours"]:
        tags = (f"{tag}={count}" if query["entity"] else f"{tag} ×{count}" for tag, count in place["tags"].items())
        where = f"{place['lat']:.5f}, {place['lon']:.5f}"
        name = f"{place['entity']} in {place['tile']}" if query["entity"] else place["tile"]
        lines = [f"{name}  {place['region']}  {where}", shorten(", ".join(tags), 100, placeholder=" …"), place["url"]]
        rows.append([place["rank"], f"{place['cosine']:.4f}", "\n".join(lines)])
    what = "entities" if query["entity"] else "tiles"
    title = f"{query['entity'] or query['tile']}: the nearest of {result['searched']:,} {what}, by {result['model']}"
    caption = "; ".join(made.manifest["attribution"]) or None
    console.table(title, ["", "cosine", "place, main tags, link"], rows, caption)
    console.print_line(f"neighbours/{made.ref}: {page or made.file('neighbours.geojson')}")
