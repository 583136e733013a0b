"""`geojepa review`: finds entities whose tag disagrees with their surroundings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.review_files import CSV_FILE, GEOJSON_FILE, JSON_FILE, PAGE_FILE
from geojepa_cli.stages.reviews import DEFAULT_K
from geojepa_cli.workspace.artifact import Artifact

MOST_SHOWN = 20  # findings in the table of the terminal


@example(region="state-college", tag="highway", html=True)
@example(region="state-college")
def review(
    ctx: typer.Context,
    region: Annotated[
        str | None, typer.Option("--region", help="Region to review. Default: the only region in the workspace.")
    ] = None,
    model: options.ModelName = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            help="Key of the tags to review: `building`, `highway`, `maxspeed`, `surface`, `amenity`, `landuse`, "
            "`natural`, `leisure`, or any other key. Repeat for several keys. Default: `all`, which is all of these.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Number of elements to list, 1 to 1000.")] = DEFAULT_K,
    html: Annotated[bool, typer.Option("--html", help="Also make an HTML page with a map of each element.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Find OSM elements whose tag disagrees with what the model predicts from their surroundings. Edits nothing."""
    made = stages.review(
        options.workspace(ctx), region, model, tag, k, html, seed, min_entities, max_entities, device, threads
    )
    answer = made.read_json(JSON_FILE)
    page = str(made.file(PAGE_FILE)) if html else None
    if json:
        files = {"geojson": str(made.file(GEOJSON_FILE)), "csv": str(made.file(CSV_FILE)), "page": page}
        console.emit_json("review", made.ref, answer | {"files": files})
    else:
        print_review(answer, made, page)


def print_review(answer: dict[str, Any], made: Artifact, page: str | None) -> None:
    """Prints the first findings as a table, then the paths of the files."""
    rows = [
        [
            one["rank"],
            f"{one['score']:.1f}",
            f"{one['present']}\n→ {one['suggested']}",
            f"{one['reason']}\n{one['url']}",
        ]
        for one in answer["findings"][:MOST_SHOWN]
    ]
    count = len(answer["findings"])
    title = f"{console.counted(count, 'element')} of {answer['reviewed']:,} to look at, by {answer['model']}"
    title += f" (the first {MOST_SHOWN})" if count > MOST_SHOWN else ""
    caption = "\n".join([answer["note"], "; ".join(made.attribution)])
    console.table(title, ["", "score", "present tag, suggestion", "reason; link"], rows, caption)
    console.print_line(f"GeoJSON for JOSM or iD: {made.file(GEOJSON_FILE)}")
    console.print_line(f"HTML page: {page}" if page else f"CSV: {made.file(CSV_FILE)}")
