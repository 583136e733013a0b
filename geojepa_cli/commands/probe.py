"""`geojepa probe`: how much the vectors of a model tell about a task, beside Dummy and TagPool."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.embed import (
    TAGPOOL,
    Model,
    build_embeddings,
    check_device,
    find_model,
    find_task_artifact,
    model_config,
)
from geojepa_cli.commands.limits import Limits
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.probe import ProbeData, ProbeResult
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

STAGE_VERSION = 3  # since 3, the report says what pretraining may have seen
HEADS = {"linear": ("linear",), "mlp": ("mlp",), "both": ("linear", "mlp")}


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
    made = build_probe(workspace, regions, tasks, models, masked, HEADS[head], seed, device, threads)
    report = made.read_json("report.json")
    if json:
        console.emit_json("probe", made.ref, report)
        return
    say(report, made)


def build_probe(
    workspace: Workspace,
    regions: Sequence[Artifact],
    tasks: Sequence[Artifact],
    models: Sequence[Model],
    masked: bool = False,
    heads: Sequence[str] = ("linear", "mlp"),
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Publishes `probes/<task>.<model>`: `report.json`, `predictions.csv`, `plot.png`; embeds what is not embedded.

    What is embedded for the plain variant has the limits of entities that the task was built with: its tiles.

    Args:
        workspace: where.
        regions, tasks: processed artifacts and their task, in the same order.
        models: to test.
        masked: the task's masked variant.
        heads: of `linear` and `mlp`.
        seed: of folds, heads and intervals.
        device, threads: of embedding and heads.
    """
    warn_of_other_splits(models, regions, tasks)
    embeddings = [
        [
            build_embeddings(workspace, model, r, t if masked else None, masked, device, threads, task_limits(t))
            for model in models
        ]
        for r, t in zip(regions, tasks, strict=True)
    ]
    name = tasks[0].params["task"]["name"]
    params = {"task": name, "masked": masked, "heads": list(heads), "seed": seed, "models": [m.ref for m in models]}
    inputs = [*regions, *tasks, *(made for row in embeddings for made in row)]
    with workspace.build("probes", f"{name}.{models[0].name}", params, inputs, STAGE_VERSION) as build:
        if build.existing:
            console.note(f"probes/{build.existing.ref} is up to date, skipping")
            return build.existing
        import torch

        from geojepa_cli.evaluate.plot import plot_probe
        from geojepa_cli.evaluate.predictions import write_predictions
        from geojepa_cli.evaluate.probe import run_probe
        from geojepa_cli.store.store import TileStore
        from geojepa_cli.tasks.dataset import TaskData

        torch.set_num_threads(1)  # fits are small, and with one thread the figures do not depend on the machine
        store = TileStore.open([r.file("processed.h5") for r in regions], names=[r.name for r in regions])
        data = TaskData.open(store, tasks)
        rows, probed = probe_data(data)
        labels = _distinct([model.name for model in models], [model.ref for model in models])
        vectors = {
            label: tile_vectors(store, rows, [of_region[i] for of_region in embeddings])
            for i, label in enumerate(labels)
        }
        with console.progress(f"probe {name}") as meter:
            result = run_probe(probed, vectors, heads, seed, lambda done, total: meter.update(done, total))
        report = _report(data, result, params, regions, tasks)
        tested = data.groups[rows[result.fold >= 0]]
        report["seen_in_pretraining"] = {
            m.ref: seen for m in models if (seen := seen_groups(workspace, m, regions, tested))
        }
        text = json_text.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
        (build.partial / "report.json").write_text(text + "\n", encoding="utf-8")
        write_predictions(build.partial / "predictions.csv", store, rows, probed, result)
        title = f"{data.spec.title}{' (masked)' if masked else ''}{' (RANDOM SPLIT)' if probed.random else ''}"
        plot_probe(probed, result, title, data.spec.label.unit, build.partial / "plot.png")
        counts = {"tiles": result.tiles, "tiles_unthinned": result.tiles_unthinned, "groups": result.groups}
        return build.publish(counts=counts, extra={"seed": seed})


def task_limits(task: Artifact) -> Limits:
    """Fewest and most entities of the tiles that a task was built on."""
    return Limits(task.params["min_entities"], task.params["max_entities"])


def warn_of_other_splits(models: Sequence[Model], regions: Sequence[Artifact], tasks: Sequence[Artifact]) -> None:
    """Says where a model was trained on these regions by another split, or by none: it may have seen test tiles."""
    names = {region.name for region in regions}
    seed = tasks[0].params["seed"]
    for model in models:
        if model.artifact is None:
            continue
        trained_on = {
            ref.split("/")[1].partition("@")[0] for ref in model.artifact.inputs if ref.startswith("processed/")
        }
        if not names & trained_on:
            continue
        data = model_config(model.artifact).data
        if not data.exclude_test_groups:
            how = "was trained on all tiles, test groups too (`data.exclude_test_groups` is false)"
        elif data.split_seed != seed:
            how = f"was trained with data.split_seed={data.split_seed}, the task was split with --seed {seed}"
        else:
            continue
        console.warn(f"`{model.ref}` {how}: test tiles may have been trained on")


def seen_groups(workspace: Workspace, model: Model, regions: Sequence[Artifact], tested: Any) -> int:
    """Of the tested zoom-14 groups, those whose tiles (never their labels) the model may have been pretrained on.

    Pretraining leaves out the test groups of one split; cross-validation tests all groups.

    Args:
        workspace: where the lineage is.
        model: 0 for TagPool, and for a model that was pretrained on other sources than these regions'.
        regions: that were probed.
        tested: int64 groups of the tested tiles.
    """
    import numpy as np

    from geojepa_cli.tasks.splits import SPLITS, split_groups

    if model.artifact is None:
        return 0
    own = {source for region in regions for source in _sources(workspace, region)}
    if not own & _sources(workspace, model.artifact):
        return 0
    config = model_config(model.artifact).data
    groups = np.unique(tested)
    if config.exclude_test_groups:
        groups = groups[split_groups(groups, config.split_seed) != SPLITS.index("test")]
    return len(groups)


def _sources(workspace: Workspace, artifact: Artifact) -> set[str]:
    """Ids of the sources that an artifact was made of; where the lineage breaks off, the ref that is gone."""
    found: set[str] = set()
    for ref in artifact.inputs:
        kind, _, name = ref.partition("/")
        if kind == "source":
            found.add(name.partition("@")[2])  # of the content: the same file under another name too
            continue
        try:
            found |= _sources(workspace, workspace.at(ref))
        except GeojepaError:
            found.add(ref)
    return found


def probe_data(data: TaskData) -> tuple[Any, ProbeData]:
    """The eligible tiles of a task: their rows in the store (int64 [n]) and what a probe needs of them."""
    import numpy as np

    from geojepa_cli.evaluate.probe import ProbeData

    rows = np.flatnonzero(data.eligible)
    fold = None if data.fold is None else data.fold[rows]
    columns = (
        data.labels[rows].astype(np.float64),
        data.kept[rows],
        data.split[rows],
        data.groups[rows].astype(np.int64),
    )
    return rows, ProbeData(
        *columns,
        clamp=data.spec.label.clamp,
        binary=data.spec.binary,
        task_fold=fold,
        buffer=data.rule.buffer,
        random=data.rule.by == "random",
    )


def tile_vectors(store: TileStore, rows: Any, embeddings: Sequence[Artifact]) -> Any:
    """Vectors float32 [n, 2D] of some tiles of the store, from one embeddings artifact per region.

    Raises:
        DataError: a tile was not embedded.
    """
    import numpy as np

    from geojepa_cli.errors import DataError
    from geojepa_cli.store.embeddings import Embeddings

    parts = []
    for index, artifact in enumerate(embeddings):
        vectors = Embeddings(artifact.file("embeddings.h5"))
        first, last = store.tile_offsets[index : index + 2]
        wanted = rows[(rows >= first) & (rows < last)] - first
        known = vectors["tile/row"].astype(np.int64)
        places = np.searchsorted(known, wanted)
        found = places < len(known)
        found[found] = known[places[found]] == wanted[found]
        if not found.all():
            message = f"{int((~found).sum())} tiles of the task have no vector in `{artifact.ref}`"
            raise DataError(message, f"geojepa build-tasks --region {store.regions[index].name} --min-entities 1")
        parts.append(np.asarray(vectors["tile/vector"][places]))
    return np.concatenate(parts)


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
        console.say(f"`{model}` may have seen tiles (no labels) of {seen} of the tested zoom-14 groups in pretraining")
    for region, strongest in report["strongest"].items():
        if strongest["tags"]:
            first = strongest["tags"][0]
            said = f"`{first['tag']}` ({first['feature']}, {strongest['measure']} {first['score']:.2f})"
            console.say(f"strongest single tag that the mask leaves in {region}: {said}")
    console.say(f"probes/{made.ref}: {made.path}")


def _report(
    data: TaskData, result: ProbeResult, params: dict[str, Any], regions: Sequence[Artifact], tasks: Sequence[Artifact]
) -> dict[str, Any]:
    strongest = {}
    for processed, task in zip(regions, tasks, strict=True):
        found = task.read_json("report.json")["strongest"]
        strongest[processed.name] = {"measure": found["measure"], "tags": found["tags"][:3]}
    return {
        **params,
        "title": data.spec.title,
        "unit": data.spec.label.unit,
        "regions": [processed.ref for processed in regions],
        "protocol": result.protocol,
        "random": result.random,
        "buffer": result.buffer,
        "stands_on": result.describe(),
        "groups": result.groups,
        "test_groups": result.test_groups,
        "tiles": result.tiles,
        "tiles_unthinned": result.tiles_unthinned,
        "figures": [figure.to_json() for figure in result.figures],
        "strongest": strongest,
    }


def _distinct(names: list[str], refs: list[str]) -> list[str]:
    """Names where they tell models apart, else `name@id`."""
    return names if len(set(names)) == len(names) else refs
