"""Compares pretrained models with their own random initialisation on the masked tasks.

For each seed, one model is trained for some minutes and one is left untrained. Both embed the masked views of all five
tasks. Linear heads are cross-validated over zoom-14 groups. Prints the paired interval of the difference of
mean(MAE / Dummy's MAE) as JSON.

    python benchmarks/pretrain_gain.py --workspace workspace --region state-college --region honolulu --minutes 5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.evaluate.compare import TaskErrors, compare, cross_validated_errors

from geojepa_cli import console
from geojepa_cli.stages.embeddings import TAGPOOL, Model, find_task_artifact, make_embeddings
from geojepa_cli.stages.probes import probe_data, tile_vectors
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

TASKS = ("traffic_signals", "building_count", "bridge", "car_bridge", "max_speed")


def main() -> None:
    """Trains, embeds, compares and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    workspace = Workspace(options.workspace)
    regions = list(workspace.regions("processed", options.region))
    models = {
        "trained": [
            train(options, seed, f"gain-{options.minutes:g}min-{seed}", options.minutes) for seed in options.seed
        ],
        "random": [train(options, seed, f"gain-random-{seed}", None) for seed in options.seed],
    }
    found = {kind: [Model(name, workspace.find("models", name)) for name in names] for kind, names in models.items()}
    found[TAGPOOL] = [Model(TAGPOOL, None)] * len(options.seed)
    tasks = {}
    for task in TASKS:
        tasks[task] = task_errors(workspace, regions, task, found, options)
        console.note(f"{task}: cross-validated over {len(np.unique(tasks[task].groups))} groups")
    result = {
        "regions": [region.ref for region in regions],
        "minutes": options.minutes,
        "seeds": options.seed,
        "head": options.head,
        "tiles": {task: len(errors.dummy) for task, errors in tasks.items()},
        "trained_vs_random": compare(tasks, "trained", "random"),
        "trained_vs_tagpool": compare(tasks, "trained", TAGPOOL),
    }
    console.emit_json("pretrain-gain", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train(options: argparse.Namespace, seed: int, name: str, minutes: float | None) -> str:
    """Trains a model in a separate process, or only initialises it if `minutes` is None. Returns its name."""
    steps, limit = ("0", "null") if minutes is None else (str(options.max_steps or "null"), f"{minutes:g}")
    stop = ["--set", f"train.max_steps={steps}", "--set", f"train.max_minutes={limit}"]
    command = [sys.executable, "-m", "geojepa_cli", "--workspace", str(options.workspace), "pretrain"]
    command += [
        "--config",
        options.config,
        "--name",
        name,
        "--seed",
        str(seed),
        "--threads",
        str(options.threads),
        *stop,
    ]
    for region in options.region or []:
        command += ["--region", region]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return name


def task_errors(
    workspace: Workspace,
    regions: list[Artifact],
    task: str,
    models: dict[str, list[Model]],
    options: argparse.Namespace,
) -> TaskErrors:
    """Returns the errors of all models on one masked task. A model that is the same for all seeds is embedded once."""
    artifacts = [find_task_artifact(workspace, region, task) for region in regions]
    store = TileStore.open([region.file("processed.h5") for region in regions], names=[r.name for r in regions])
    rows, data = probe_data(TaskData.open(store, artifacts))
    matrices: dict[str, Any] = {}
    for kind, seeds in models.items():
        by_ref = {}
        for model in seeds:
            if model.ref not in by_ref:
                embedded = [
                    make_embeddings(workspace, model, region, artifact, True, "auto", options.threads)
                    for region, artifact in zip(regions, artifacts, strict=True)
                ]
                by_ref[model.ref] = tile_vectors(store, rows, embedded)
        matrices[kind] = [by_ref[model.ref] for model in seeds]
    return cross_validated_errors(data, matrices, options.head, repeats=options.repeats)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--region", action="append", help="can be repeated; default: the only region")
    parser.add_argument("--config", default="tiny.yaml")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--max-steps", type=int, default=0, help="in addition to --minutes; 0: no limit")
    parser.add_argument("--seed", type=int, action="append", help="can be repeated; default: 0, 1, 2")
    parser.add_argument("--head", choices=("linear", "mlp"), default="linear")
    parser.add_argument("--repeats", type=int, default=1, help="rounds of cross-validation, each with different folds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args()
    options.seed = options.seed or [0, 1, 2]
    return options


if __name__ == "__main__":
    main()
