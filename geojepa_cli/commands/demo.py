"""`geojepa demo`: generates an artificial city, runs every stage on it offline, and makes a page of similar tiles."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import ordered_counts
from geojepa_cli.stages.demo import STEPS
from geojepa_cli.stages.neighbours import JSON_FILE, PAGE_FILE
from geojepa_cli.workspace.artifact import Artifact


@example()
def demo(
    ctx: typer.Context,
    size: Annotated[str, typer.Option(help="Size of the city: `full` (480 tiles) or `small` (64 tiles).")] = "full",
    steps: Annotated[int, typer.Option(min=1, help="Number of training steps.")] = STEPS,
    seed: options.Seed = 0,
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Generate an artificial city and run every stage on it, without a network."""
    started = time.monotonic()
    done = stages.demo(options.workspace(ctx), size, steps, seed, threads)
    page = str(done["neighbours"].file(PAGE_FILE))
    if json:
        refs = {stage: artifact.ref for stage, artifact in done.items()}
        console.emit_json("demo", done["neighbours"].ref, {"artifacts": refs, "page": page})
        return
    print_summary(done, page, time.monotonic() - started)


def print_summary(done: Mapping[str, Artifact], page: str, seconds: float) -> None:
    """Prints the artifacts, the scores of the probes, the path of the HTML page, and the commands to try next."""
    rows = [(stage, artifact.full_ref, _main_counts(artifact)) for stage, artifact in done.items()]
    console.table("artifacts of the demo", ["stage", "artifact", "counts"], rows)
    columns, scores = _scores(artifact for stage, artifact in done.items() if stage.startswith("probe "))
    if scores:
        title = "error (MAE) divided by the error of always predicting the median label, `dummy` (lower is better)"
        caption = "tags that reveal the label are masked; linear head; cross-validation over zoom-14 tiles"
        console.table(title, columns, scores, caption)
    console.print_line(f"all labels are equal to the correct labels of the generated city; finished in {seconds:.0f} s")
    console.print_line()
    console.print_line("HTML page with the tiles that are most similar to a tile in the city centre:")
    console.print_line(page)
    console.print_line()
    query = done["neighbours"].read_json(JSON_FILE)["query"]["tile"]
    for lead, hint in (
        ("next:", hints.run("probe", task="max_speed")),
        ("     ", hints.run("knn", tile=query)),
    ):
        console.print_line(f"{lead} {hint.completed(hints.running())}")


def _scores(probes: Iterable[Artifact]) -> tuple[list[str], list[list[str]]]:
    """Returns the column names and rows of the table of scores, with one row per task and one column per model."""
    names: dict[str, None] = {}
    by_task: dict[str, dict[str, str]] = {}
    for probe in probes:
        report = probe.read_json("report.json")
        for score in report["figures"]:
            if score["relative"] is not None:
                names[score["model"]] = None
                by_task.setdefault(report["task"], {})[score["model"]] = f"{score['relative']:.2f}"
    return ["task", *names], [[task, *(row.get(name, "–") for name in names)] for task, row in by_task.items()]


def _main_counts(artifact: Artifact) -> str:
    numbers = {name: value for name, value in ordered_counts(artifact) if isinstance(value, int)}
    if artifact.kind == "models":
        numbers = {name: numbers[name] for name in ("tiles", "steps", "parameters")}
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in list(numbers.items())[:3])
