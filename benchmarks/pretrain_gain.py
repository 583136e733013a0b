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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console, stages
from geojepa_cli.evaluate.comparison import TaskErrors, compare
from geojepa_cli.stages.reports import read_probe
from geojepa_cli.workspace.workspace import Workspace

TAGPOOL = "tagpool"
TASKS = ("traffic_signals", "building_count", "bridge", "car_bridge", "max_speed")


def main() -> None:
    """Trains, probes, compares, prints."""
    options = _options()
    workspace = Workspace(options.workspace)
    models = {
        "trained": [
            train(options, seed, f"gain-{options.minutes:g}min-{seed}", options.minutes) for seed in options.seed
        ],
        "random": [train(options, seed, f"gain-random-{seed}", None) for seed in options.seed],
    }
    rows = {kind: [f"{name} ({options.head})" for name in names] for kind, names in models.items()}
    rows[TAGPOOL] = [f"{TAGPOOL} ({options.head})"] * len(options.seed)
    names = [name for listed in models.values() for name in listed]
    errors = {}
    for task in TASKS:
        probe = stages.probe(
            workspace, task, names, options.region, masked=True, head=options.head, threads=options.threads
        )
        errors[task] = read_probe(probe)[1]
        console.note(f"{task}: {len(set(errors[task].groups.tolist()))} groups")
    pooled = {task: mean_over_seeds(found, rows) for task, found in errors.items()}
    result: dict[str, Any] = {"minutes": options.minutes, "seeds": options.seed, "head": options.head}
    result["tiles"] = {task: len(found.dummy) for task, found in errors.items()}
    for other in ("random", TAGPOOL):
        result[f"trained_vs_{other}"] = compare(pooled, "trained", other).to_json() | {
            "by_seed": [compare(errors, a, b).to_json() for a, b in zip(rows["trained"], rows[other], strict=True)]
        }
    console.emit_json("pretrain-gain", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def mean_over_seeds(errors: TaskErrors, rows: dict[str, list[str]]) -> TaskErrors:
    """Returns the errors of every kind of model, averaged over its training seeds."""
    models = {kind: np.mean([errors.models[row] for row in listed], axis=0) for kind, listed in rows.items()}
    return TaskErrors(errors.tiles, errors.groups, errors.dummy, models)


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
