"""`geojepa probe-entities`: measures how well embeddings of entities predict a hidden tag."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.entity_probe import print_entity_probe
from geojepa_cli.stages.entity_probe_plan import PER_CLASS, SEEDS
from geojepa_cli.stages.entity_probes import REPORT_FILE

Task = Annotated[
    str,
    typer.Option(
        "--task",
        help="Tag to predict: `building_class`, `road_class`, `speed_class`, `surface_class`, `amenity_class`, or "
        "the path of a YAML file that defines another.",
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Model to test. Repeat for several models. Default: the newest model or, "
        "if there is none, `geojepa-small`, which comes with geojepa.",
    ),
]
RegionNames = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Region to use. Repeat for several regions. Default: the only region in the workspace or, if there "
        "are several, those of which the models saw no tile in pretraining.",
    ),
]
TestRegions = Annotated[
    list[str] | None,
    typer.Option(
        "--test-region",
        help="Region to test on, and not to train on. Repeat for several regions. Default: cross-validation, "
        "see `--leave-out`.",
    ),
]
LeaveOut = Annotated[
    str | None,
    typer.Option(
        "--leave-out",
        help="What a fold of the cross-validation leaves out: whole `regions` (default for several regions), or "
        "`groups` (zoom-14 tiles).",
    ),
]
Hide = Annotated[
    str,
    typer.Option(
        "--hide",
        help="Entities whose tags are hidden: `all`, or only those that are `probed`. A fifth of the entities is "
        "then probed, and the others show their tags.",
    ),
]
PerClass = Annotated[int, typer.Option("--per-class", help="Maximum number of entities of a class to use.")]
Context = Annotated[
    bool,
    typer.Option(
        "--context", help="Also measure how far embeddings move when the tags or the surroundings are exchanged."
    ),
]
Alphas = Annotated[
    list[float] | None,
    typer.Option(
        "--alpha",
        help="Also test embeddings that are shifted from the surroundings (0) to the entity alone (1). Repeat for "
        "several points of a curve. Default with `--context`: 0.25, 0.5, 0.75 and 1.",
    ),
]
Seeds = Annotated[
    int, typer.Option("--seeds", help="Number of seeds over which scores are averaged: SEED, SEED + 1, …")
]


@example(task="building_class", model="geojepa-small")
def probe_entities(
    ctx: typer.Context,
    task: Task,
    model: ModelNames = None,
    region: RegionNames = None,
    test_region: TestRegions = None,
    leave_out: LeaveOut = None,
    hide: Hide = "all",
    per_class: PerClass = PER_CLASS,
    context: Context = False,
    alpha: Alphas = None,
    seed: options.Seed = 0,
    seeds: Seeds = SEEDS,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test how well the embedding of an entity predicts a tag of it that was hidden from the models."""
    workspace = options.workspace(ctx)
    made = stages.probe_entities(
        workspace,
        task,
        model,
        region,
        test_region,
        hide,
        per_class,
        context,
        seed,
        device,
        threads,
        seeds,
        leave_out,
        alpha,
    )
    report = made.read_json(REPORT_FILE)
    if json:
        console.emit_json("probe-entities", made.ref, report)
    else:
        print_entity_probe(report, made)
