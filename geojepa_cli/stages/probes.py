"""Probes: errors of heads on frozen vectors."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import GeojepaError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.embeddings import Model, make_embeddings, model_config
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.probe import ProbeData, ProbeResult
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData


def _rebuild(remains: Remains) -> Hint:
    task, _, model = remains.name.partition(".")
    refs = remains.params.get("models", [model] if model else [])
    models = [ref.partition("@")[0] for ref in refs]
    return hints.run("probe", task=task, masked=bool(remains.params.get("masked")), model=models)


PROBES = Stage("probes", version=3, rebuild=_rebuild)
HEADS = {"linear": ("linear",), "mlp": ("mlp",), "both": ("linear", "mlp")}


def make_probe(
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
            make_embeddings(workspace, model, r, t if masked else None, masked, device, threads, task_limits(t))
            for model in models
        ]
        for r, t in zip(regions, tasks, strict=True)
    ]
    name = tasks[0].params["task"]["name"]
    params = {"task": name, "masked": masked, "heads": list(heads), "seed": seed, "models": [m.ref for m in models]}
    inputs = [*regions, *tasks, *(made for row in embeddings for made in row)]
    with PROBES.build(workspace, f"{name}.{models[0].name}", params, inputs) as build:
        if build.existing:
            console.note(f"probes/{build.existing.ref} is up to date, skipping")
            return build.existing
        import torch

        from geojepa_cli.evaluate.plots.probe import plot_probe
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


def task_limits(task: Artifact) -> EntityLimits:
    """Fewest and most entities of the tiles that a task was built on."""
    return EntityLimits(task.params["min_entities"], task.params["max_entities"])


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
