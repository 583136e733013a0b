"""`geojepa pretrain`: trains a model on one or several regions by masked latent prediction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.stages.models import make_model
from geojepa_cli.workspace.kinds import check_name

if TYPE_CHECKING:
    pass


def pretrain(
    ctx: typer.Context,
    config: Annotated[
        str, typer.Option("--config", help="Path of a config, or the name of a packed one.")
    ] = "tiny.yaml",
    region: options.Regions = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key, such as `train.lr=1e-3`; may be given again.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model. Default: the config's.")] = None,
    seed: options.Seed = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint of a killed run.")] = True,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads.")] = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Train a model on one or several regions.

    Example: geojepa pretrain --config tiny.yaml --region state-college --set train.max_minutes=5
    """
    from geojepa_cli.config.schema import load_config

    resolved = load_config(config, settings or [])
    chosen = name or Path(config).stem
    check_name(chosen)
    workspace = options.workspace(ctx)
    model = make_model(
        workspace, workspace.regions("processed", region), resolved, chosen, seed, resume, device, threads
    )
    counts = model.manifest["counts"]
    if json:
        console.emit_json("pretrain", model.ref, {"counts": counts})
        return
    rows = [(key.replace("_", " "), f"{value:,}" if isinstance(value, int) else value) for key, value in counts.items()]
    console.table(f"models/{model.ref}", ["", ""], rows, caption=str(model.path))
