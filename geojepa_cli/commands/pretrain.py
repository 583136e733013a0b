"""`geojepa pretrain`: trains a model."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages import models

Threads = Annotated[
    int,
    typer.Option(
        "--threads",
        help="Number of CPU threads. Affects the trained model slightly, because of rounding.",
    ),
]


@example(config="tiny.yaml", region="state-college", set={"train.max_minutes": 5})
def pretrain(
    ctx: typer.Context,
    config: Annotated[
        str,
        typer.Option("--config", help="Name of a configuration that comes with geojepa, or path of a YAML file."),
    ] = "tiny.yaml",
    region: options.Regions = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a configuration value, such as `train.lr=1e-3`. Repeat the option to change several. "
            "All settings: docs/configuration.md.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name for the model. Default: the name of the configuration.")
    ] = None,
    seed: options.Seed = 0,
    resume: Annotated[
        bool,
        typer.Option(
            help="`--resume`: resume an interrupted run, if there is one. `--no-resume`: train from the start."
        ),
    ] = True,
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold",
            help="Do not train on this fold of the tasks, nor on the zoom-14 tiles next to it, so that `probe` can "
            "test the model on the fold. The number of folds is the setting `data.folds`. Default: train on all folds.",
        ),
    ] = None,
    device: options.Device = "auto",
    threads: Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Train a model by masked latent prediction on one or several regions."""
    workspace = options.workspace(ctx)
    model = models.pretrain(
        workspace, config, region, set_ or (), name, seed, resume=resume, device=device, threads=threads, fold=fold
    )
    if json:
        console.emit_json("pretrain", model.ref, {"counts": model.counts})
        return
    print_counts(model)
