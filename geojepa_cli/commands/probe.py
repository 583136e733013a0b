"""`geojepa probe`: how much the vectors of a model tell about a task, beside Dummy and TagPool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embeddings import TAGPOOL, Model, find_model, find_task_artifact
from geojepa_cli.stages.probes import HEADS, make_probe
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    pass


def probe(
    ctx: typer.Context,
    task: Annotated[str, typer.Option("--task", help="Name of a task that was built.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Model; give it again for several. Default: the newest.")
    ] = None,
    region: options.Regions = None,
    masked: Annotated[bool, typer.Option("--masked", help="Hide what the task asks for.")] = False,
    head: Annotated[str, typer.Option(help="`linear`, `mlp`, or `both`.")] = "both",
    seed: options.Seed = 0,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test a model's vectors on a task.

    Example: geojepa probe --task max_speed --masked
    """
    if head not in HEADS:
        raise UsageError(f"unknown head `{head}`", "--head linear, mlp or both")
    check_device(device)
    workspace = options.workspace(ctx)
    regions = workspace.regions("processed", region)
    tasks = [find_task_artifact(workspace, processed, task) for processed in regions]
    wanted: list[str | None] = [*model] if model else [None]
    models = list(dict.fromkeys(find_model(workspace, name) for name in wanted))
    models += [] if any(m.name == TAGPOOL for m in models) else [Model(TAGPOOL, None)]
    made = make_probe(workspace, regions, tasks, models, masked, HEADS[head], seed, device, threads)
    report = made.read_json("report.json")
    if json:
        console.emit_json("probe", made.ref, report)
        return
    say(report, made)


def say(report: dict[str, Any], made: Artifact) -> None:
    """The figures as a table, what they stand on, and the strongest tag left."""
    unit = f" {report['unit']}" if report["unit"] else ""
    binary = any(figure["auroc"] is not None for figure in report["figures"])
    rows = []
    for figure in report["figures"]:
        mae = figure["mae"]
        relative = f"{figure['relative']:.3f}" if figure["relative"] is not None else "–"
        interval = f"{mae['low']:.3f} – {mae['high']:.3f}"
        cells = [
            figure["model"],
            figure["head"],
            f"{mae['value']:.3f}",
            interval,
            relative,
            f"{figure['mae_unthinned']:.3f}",
        ]
        rows.append(
            [*cells, f"{figure['auroc']:.3f}"]
            if binary and figure["auroc"] is not None
            else [*cells, "–"][: 6 + binary]
        )
    columns = [
        "model",
        "head",
        f"MAE{unit}",
        "95 % interval",
        "MAE / Dummy",
        "MAE unthinned",
        *(["AUROC"] if binary else []),
    ]
    variant = "masked" if report["masked"] else "plain"
    variant += ", RANDOM SPLIT" if report.get("random") else ""
    console.table(f"{report['title']} ({report['task']}, {variant})", columns, rows, caption=report["stands_on"])
    if report.get("random"):
        console.warn(report["stands_on"])
    for model, seen in report.get("seen_in_pretraining", {}).items():
        console.print_line(
            f"`{model}` may have seen tiles (no labels) of {seen} of the tested zoom-14 groups in pretraining"
        )
    for region, strongest in report["strongest"].items():
        if strongest["tags"]:
            first = strongest["tags"][0]
            said = f"`{first['tag']}` ({first['feature']}, {strongest['measure']} {first['score']:.2f})"
            console.print_line(f"strongest single tag that the mask leaves in {region}: {said}")
    console.print_line(f"probes/{made.ref}: {made.path}")
