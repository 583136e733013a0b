"""`geojepa knn`: finds the tiles or OSM elements that are most similar to given ones."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.neighbour_query import DEFAULT_SPACE, SPACES
from geojepa_cli.stages.neighbours import CSV_FILE, GEOJSON_FILE, JSON_FILE, PAGE_FILE
from geojepa_cli.workspace.artifact import Artifact


class Format(StrEnum):
    """What `geojepa knn` prints."""

    TABLE = "table"
    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"


@example(tile="16_18052_25957", html=True)
@example(text="school next to a motorway")
@example(like=["16_18052_25957", "16_18054_25957"], min_distance_km=1)
def knn(
    ctx: typer.Context,
    tile: Annotated[
        str | None,
        typer.Option("--tile", help="Find tiles similar to this one, given as zoom_x_y (for example 16_18052_25957)."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", help="Find OSM elements similar to this one (for example way/123).")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", help="Find tiles or OSM elements by words, for example `school next to a motorway` (in English)."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Find tiles similar to the one at this longitude and latitude, given as LON,LAT."),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            "--draw",
            help="GeoJSON file with drawn entities, which have OSM tags as properties. Finds tiles similar to a tile "
            "of them or, with `--level entity`, OSM elements similar to the only one.",
        ),
    ] = None,
    area: Annotated[
        Path | None,
        typer.Option("--area", help="File with polygons. Finds tiles similar to the mean of the tiles in them."),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option("--level", help="What to find with `--text` or `--draw`: `tile` (default) or `entity`."),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option("--like", help="Another tile or OSM element that results shall resemble. Repeatable."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", help="Tile or OSM element that results must not resemble. Repeatable."),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            help="Weight of a part of the query. Repeat it for each part, in this order: `--tile`, `--entity`, "
            "`--at`, `--text`, `--draw`, `--area`, each `--like`, each `--unlike`. Default: 1 for all.",
        ),
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
    from_region: Annotated[
        list[str] | None,
        typer.Option(
            "--from-region",
            help="Region from which the tiles and elements of the query come, if not from the searched regions.",
        ),
    ] = None,
    space: Annotated[
        str,
        typer.Option("--space", help=f"Form in which vectors are compared: {', '.join(f'`{one}`' for one in SPACES)}."),
    ] = DEFAULT_SPACE,
    exclude_same_group: Annotated[
        bool,
        typer.Option("--exclude-same-group", help="Leave out results inside the zoom-14 tile that contains the query."),
    ] = False,
    min_distance_km: Annotated[
        float, typer.Option("--min-distance-km", help="Leave out results closer to the query than this, in km.")
    ] = 0.0,
    html: Annotated[bool, typer.Option("--html", help="Also make an HTML page with a map of each result.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    alpha: options.Alpha = 0.0,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    output: Annotated[Format, typer.Option("--format", help="What to print. The artifact has all files.")] = (
        Format.TABLE
    ),
    json: options.Json = False,
) -> None:
    """Find the tiles or OSM elements that are most similar to given ones. Computes missing embeddings first."""
    if json and output not in (Format.TABLE, Format.JSON):
        message = f"`--json` cannot be combined with `--format {output}`"
        raise UsageError(message, hints.instead(("--json", None)))
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
        space,
        like,
        unlike,
        weight,
        min_distance_km,
        from_region,
        text,
        at,
        draw,
        area,
        level,
    )
    answer = made.read_json(JSON_FILE)
    page = str(made.file(PAGE_FILE)) if html else None
    if json or output is Format.JSON:
        files = {"geojson": str(made.file(GEOJSON_FILE)), "csv": str(made.file(CSV_FILE)), "page": page}
        console.emit_json("knn", made.ref, answer | {"files": files})
    elif output is Format.TABLE:
        print_neighbours(answer, made, page)
    else:
        shown = made.file(GEOJSON_FILE if output is Format.GEOJSON else CSV_FILE)
        console.print_text(shown.read_text(encoding="utf-8"))


def print_neighbours(answer: dict[str, Any], made: Artifact, page: str | None) -> None:
    """Prints the nearest neighbours of the query as a table, then the path of the HTML page or GeoJSON file."""
    entities = answer["level"] == "entity"
    for part in answer["parts"]:
        if "note" in part:
            console.note(f"{_part(part)}: {part['note']}")
    rows = []
    for result in answer["neighbours"]:
        tags = (f"{tag}={count}" if entities else f"{tag} ×{count}" for tag, count in result["tags"].items())
        where = f"{result['lat']:.5f}, {result['lon']:.5f}"
        name = f"{result['entity']} in {result['tile']}" if entities else result["tile"]
        about = result["reason"] or ", ".join(tags)
        lines = [f"{name}  {result['region']}  {where}", shorten(about, 160, placeholder=" …"), result["url"]]
        rows.append([result["rank"], f"{result['top_percent']:g} %", f"{result['cosine']:.3f}", "\n".join(lines)])
    score = "score" if any("text" in part for part in answer["parts"]) else "cosine"
    title = f"Most similar to {_query(answer)} of {answer['searched']:,} {'entities' if entities else 'tiles'}"
    title += f", by {answer['model']}, {answer['space']}"
    title += f", with alpha {answer['alpha']:g}" if "alpha" in answer else ""
    caption = "; ".join(made.attribution) or None
    columns = ["", "top", score, "tile, region, latitude and longitude; tags in common and differing; link"]
    console.table(title, columns, rows, caption)
    console.print_line(f"HTML page: {page}" if page else f"GeoJSON: {made.file(GEOJSON_FILE)}")


def _query(answer: dict[str, Any]) -> str:
    return ", ".join(f"{'not ' if part['unlike'] else ''}{_part(part)}{_weight(part)}" for part in answer["parts"])


def _part(part: dict[str, Any]) -> str:
    if "at" in part:
        return ",".join(f"{value:g}" for value in part["at"])
    if "text" in part:
        return f'"{part["text"]}"'
    return str(part.get("tile") or part.get("entity") or ("the drawing" if "draw" in part else "the area"))


def _weight(part: dict[str, Any]) -> str:
    return f" (weight {part['weight']:g})" if part["weight"] != 1 else ""
