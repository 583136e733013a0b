"""`geojepa sweep`: trains and compares models with different settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.sweep_plan import SweepPlan
from geojepa_cli.stages.sweeps import JSON_FILE, MARKDOWN_FILE
from geojepa_cli.workspace.artifact import Artifact


@example("lr.yaml", dry_run=True)
@example("thesis-vicreg", set={"train.max_steps": 1000})
def sweep(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Path of a sweep file, or name of a sweep that comes with geojepa.")
    ],
    region: options.Regions = None,
    test_region: Annotated[
        list[str] | None,
        typer.Option(
            "--test-region",
            help="Region to test on. Repeat for several. Default: the test regions in the sweep file or, if it has "
            "none, regions that the models do not see in training.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of all trials, such as `train.max_steps=100`. Can be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials, and train nothing.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", help="Number of models to train at the same time, each in its own process.")
    ] = 1,
    ray: options.Ray = False,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Number of CPU threads to train each model. Affects the model slightly, because of rounding. Default: "
            "number of cores / number of workers.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Train models with different settings, test them on the same tiles, and rank them in one table."""
    workspace = options.workspace(ctx)
    if dry_run:
        print_plan(stages.plan_sweep(workspace, file, region, test_region, set_ or ()), json)
        return
    each = max(options.default_threads() // max(workers, 1), 1) if threads is None else threads
    made = stages.sweep(workspace, file, region, test_region, set_ or (), workers, ray, device, each)
    content = made.read_json(JSON_FILE)
    if json:
        console.emit_json("sweep", made.ref, content)
    else:
        print_sweep(content, made)


def print_plan(plan: SweepPlan, json: bool) -> None:
    """Prints the trials of a sweep, and the number of models to train."""
    models = len(plan.trials) * len(plan.spec.seeds) * len(plan.folds)
    if json:
        content = {
            "name": plan.name,
            "trials": {trial.name: trial.settings for trial in plan.trials},
            "reference": plan.reference,
            "regions": [region.ref for region in plan.regions],
            "test_regions": [region.ref for region in plan.test_regions],
            "tasks": plan.tasks,
            "models": models,
        }
        console.emit_json("sweep", None, content)
        return
    from geojepa_cli.config.trials import as_text

    keys = list(dict.fromkeys(key for trial in plan.trials for key in trial.settings))
    rows = [
        [trial.name, *(as_text(trial.settings[key]) if key in trial.settings else "–" for key in keys)]
        for trial in plan.trials
    ]
    console.table(f"trials of {plan.name}", ["trial", *keys], rows)
    console.print_line(
        f"{console.counted(models, 'model')} ({console.counted(len(plan.spec.seeds), 'seed')}), trained on "
        f"{_names(plan.regions)}, tested on {', '.join(plan.tasks)} of {_names(plan.test_regions)}"
    )


def print_sweep(content: dict[str, Any], made: Artifact) -> None:
    """Prints the tables of a sweep, and the path of `sweep.md`."""
    from geojepa_cli.evaluate.protocols import SEEN
    from geojepa_cli.evaluate.sweep_tables import EXPLANATION, PRINTED, printed_cells, reference_note

    for table in content["tables"]:
        title = f"{content['name']}, head {table['head']}"
        console.table(title, PRINTED, printed_cells(table), red=(SEEN,))
        best = next((row["trial"] for row in table["rows"] if row["best"]), None)
        if best is not None:
            console.print_line(f"best: {best}; the 95 % interval of its difference from the next trial excludes 0")
        else:
            console.print_line("no trial is clearly the best")
    console.print_line(f"{reference_note(content)}; {EXPLANATION}")
    console.print_line(f"{made.full_ref}: {made.file(MARKDOWN_FILE)}")


def _names(regions: list[Artifact]) -> str:
    return ", ".join(region.name for region in regions)
