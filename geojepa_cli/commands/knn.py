"""`geojepa knn`: finds the tiles or OSM elements that are most similar to given ones."""

from __future__ import annotations

from textwrap import shorten
from typing import Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options, search_options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.search_options import Format
from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.neighbours import CSV_FILE, GEOJSON_FILE, JSON_FILE, PAGE_FILE
from geojepa_cli.workspace.artifact import Artifact


@example(tile="16_18052_25957", html=True)
@example(text="school next to a motorway")
@example(like=["16_18052_25957", "16_18054_25957"], min_distance_km=1)
def knn(
    ctx: typer.Context,
    tile: search_options.Tile = None,
    entity: search_options.Entity = None,
    text: search_options.Text = None,
    at: search_options.At = None,
    draw: search_options.Draw = None,
    area: search_options.Area = None,
    photo: search_options.Photo = None,
    level: search_options.Level = None,
    like: search_options.Like = None,
    unlike: search_options.Unlike = None,
    weight: search_options.Weight = None,
    k: search_options.Count = 8,
    model: options.ModelName = None,
    region: search_options.Regions = None,
    from_region: search_options.FromRegion = None,
    space: search_options.Space = DEFAULT_FORM,
    exclude_same_group: search_options.ExcludeSameGroup = False,
    min_distance_km: search_options.MinDistance = 0.0,
    html: search_options.Html = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    alpha: options.Alpha = 0.0,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    output: search_options.Output = Format.TABLE,
    json: options.Json = False,
) -> None:
    """Find the tiles or OSM elements that are most similar to given ones. Computes missing embeddings first."""
    _check_format(json, output)
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
        space=space,
        like=like,
        unlike=unlike,
        weight=weight,
        min_distance_km=min_distance_km,
        from_region=from_region,
        text=text,
        at=at,
        draw_=draw,
        area=area,
        level=level,
        photo=photo,
    )
    _print(made, Format.JSON if json else output, html)


def _check_format(json: bool, output: Format) -> None:
    if json and output not in (Format.TABLE, Format.JSON):
        message = f"`--json` cannot be combined with `--format {output}`"
        raise UsageError(message, hints.instead(("--json", None)))


def _print(made: Artifact, output: Format, html: bool) -> None:
    answer = made.read_json(JSON_FILE)
    page = str(made.file(PAGE_FILE)) if html else None
    if output is Format.JSON:
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
        if "warning" in part:
            console.warn(part["warning"])
    rows = []
    for result in answer["neighbours"]:
        tags = (f"{tag}={count}" if entities else f"{tag} ×{count}" for tag, count in result["tags"].items())
        where = f"{result['lat']:.5f}, {result['lon']:.5f}"
        name = f"{result['entity']} in {result['tile']}" if entities else result["tile"]
        about = result["reason"] or ", ".join(tags)
        lines = [f"{name}  {result['region']}  {where}", shorten(about, 160, placeholder=" …"), result["url"]]
        if "part_scores" in result:
            scores = zip(answer["parts"], result["part_scores"], strict=True)
            lines.insert(1, ", ".join(f"{_part(part)} {score:.3f}" for part, score in scores))
        rows.append([result["rank"], f"{result['top_percent']:g} %", f"{result['score']:.3f}", "\n".join(lines)])
    score = {"cosine": "cosine", "text": "match"}.get(answer["score_kind"], "score")
    title = f"Most similar to {_query(answer)} of {answer['searched']:,} {'elements' if entities else 'tiles'}"
    title += f", by {answer['model']}, {answer['space']}" if "model" in answer else ""
    title += ", by words" if "text" in {key for part in answer["parts"] for key in part} else ""
    title += f", with alpha {answer['alpha']:g}" if "alpha" in answer else ""
    caption = "; ".join(made.attribution) or None
    columns = ["", "top", score, "tile, region, latitude and longitude; tags in common and differing; link"]
    console.table(title, columns, rows, caption)
    if answer.get("photos"):
        shown = [
            [
                one["rank"],
                f"{one['score']:.3f}",
                f"{one['file']}  {one['region']}  {one['lat']:.5f}, {one['lon']:.5f}\n{one['url']}",
            ]
            for one in answer["photos"]
        ]
        console.table("Most similar photos", ["", "cosine", "file, region, latitude and longitude; link"], shown)
    console.print_line(f"HTML page: {page}" if page else f"GeoJSON: {made.file(GEOJSON_FILE)}")


def _query(answer: dict[str, Any]) -> str:
    return ", ".join(f"{'not ' if part['unlike'] else ''}{_part(part)}{_weight(part)}" for part in answer["parts"])


def _part(part: dict[str, Any]) -> str:
    if "at" in part:
        return ",".join(map(str, part["at"]))
    if "text" in part:
        return f'"{part["text"]}"'
    if "photo" in part:
        return "the photo"
    return str(part.get("tile") or part.get("entity") or ("the drawing" if "draw" in part else "the area"))


def _weight(part: dict[str, Any]) -> str:
    return f" (weight {part['weight']:g})" if part["weight"] != 1 else ""
