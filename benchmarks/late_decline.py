"""Measures whether vectors get worse late in a long training (GeoJEPA thesis, chapter 10).

Trains a variant for many passes over two regions, keeps its weights at regular steps, and probes all of them on the
regions of the split `dev` of `transfer.py`, of which training saw no tile: masked tasks, linear head, cross-validated
over zoom-14 groups. A score is the mean over tasks of MAE / MAE of Dummy. The last weights are compared with the best
ones; the difference has a 95 % paired interval over groups. The best ones are chosen on the same tiles, so the
difference overestimates the decline. Also prints the rank correlation (Spearman) of each label-free figure of
the training log with the score. Prints JSON, and writes a plot of the scores over the schedules.

    python benchmarks/late_decline.py --workspace workspace --variant t --variant t-ramps --out decline
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import benchmarks.transfer as transfer
from benchmarks.variants import SHORT, SIZE
from geojepa_cli import console, stages
from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.names import METRICS
from geojepa_cli.evaluate.comparison import compare, score
from geojepa_cli.evaluate.plots.training import TRAINING, Layout, Panel, plot_metrics
from geojepa_cli.models.jepa.pretraining import ema_momentum
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.train.log import read_metrics
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

REGIONS = ("san-bernardino-csusb", "bayreuth-north")  # to train on
RAMPS = {  # GeoJEPA thesis, table 34
    "train.lr": 1e-3,
    "train.lr_end": 1e-6,
    "train.schedule": "cosine",
    "train.warmup": 0.1,
    "train.cooldown": 0.0,
    "train.ema_momentum": 0.997,
    "train.ema_momentum_end": 1.0,
    "train.weight_decay_end": 0.4,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "t": {**SIZE, **SHORT},
    "t-ramps": {**SIZE, **SHORT, **RAMPS},
}
FIGURES = ("rankme_tiles", "rankme_tokens", "probe", "knn", "loss")  # which `train.select` can choose by
LAYOUT = Layout(
    left=(
        Panel("MAE / Dummy, regions that training did not see", {"score": "mean of five masked tasks"}, include=(1,)),
        *TRAINING.left[2:],  # learning rate, EMA momentum, weight decay
    ),
    right=(
        Panel("effective rank (RankMe)", {"rankme_tiles": "tiles", "rankme_tokens": "entities"}, include=(0,)),
        Panel("online probe (R²)", {"probe": "linear", "knn": "kNN"}),
        Panel("loss", {"loss": "total"}),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, probes, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    tested = [workspace.find("processed", name) for name in transfer.SPLITS["dev"]]
    tasks = stages.build_tasks(workspace, tested, list(transfer.TASKS), folds=transfer.FOLDS)
    result: dict[str, Any] = {"trained_on": REGIONS, "tested_on": [one.ref for one in tested]}
    for variant in options.variant:
        for seed in range(options.seeds):
            result[f"{variant}-{seed}"] = measure(workspace, options, tasks, variant, seed)
            if options.out:
                (options.out / "decline.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.emit_json("late_decline", None, result)


def measure(
    workspace: Workspace, options: argparse.Namespace, tasks: Sequence[Artifact], variant: str, seed: int
) -> dict[str, Any]:
    """Trains one model, and compares its weights of all kept steps."""
    regions = [workspace.find("processed", name) for name in REGIONS]
    keep = [round(options.steps * part / options.parts) for part in range(1, options.parts)]
    settings = {**VARIANTS[variant], "train.epochs": None, "train.max_steps": options.steps, "train.keep_at": keep}
    name = f"decline-{variant}-{seed}"
    made = stages.pretrain(workspace, "t.yaml", regions, name=name, set_=settings, seed=seed, threads=options.threads)
    models = {step: find_model(workspace, f"{name}-step-{step}@{made.id}") for step in keep}
    models[options.steps] = find_model(workspace, f"{name}@{made.id}")
    groups = [transfer.region_groups(workspace.find("processed", one)) for one in transfer.SPLITS["dev"]]
    transfer.check_protocols({name: list(models.values())}, np.concatenate(groups))
    probing = argparse.Namespace(head=["linear"], threads=options.threads)
    by_step = {str(step): [model] for step, model in models.items()}
    errors = transfer.test(workspace, probing, by_step, tasks, masked=True)["linear"]
    scores = {step: score(errors, step) for step in by_step}
    last = str(options.steps)
    best = min(scores, key=lambda step: scores[step])
    run = load_run_config("t.yaml", [f"{key}={json.dumps(value)}" for key, value in settings.items()]).train
    lines = [
        {**line, "score": scores.get(str(line["step"])), "ema_momentum": ema_momentum(run, line["done"])}
        for line in read_metrics(made.file(METRICS))
    ]
    lines = [{key: value for key, value in line.items() if value is not None} for line in lines]
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        plot_metrics(lines, options.out / f"{variant}-{seed}.png", f"{variant}, seed {seed}", LAYOUT)
    counts = dict(made.counts)
    return {
        "tokens": counts["tokens_seen"],
        "passes": lines[-1]["epoch"],
        "scores": scores,
        "best_step": int(best),
        "last_minus_best": compare(errors, last, best).to_json()["difference"],
        "correlations": correlations(lines),
    }


def correlations(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns Spearman's correlation of each label-free figure with the score. Positive: the figure prefers the better.

    A figure that is the same at all steps is left out.

    Args:
        lines: lines of the training log, some of them with a `score`.
    """
    scored = [line for line in lines if "score" in line]
    found = {}
    for name in FIGURES:
        sign = 1.0 if name == "loss" else -1.0
        values = [(sign * line[name], line["score"]) for line in scored if name in line]
        figures, scores = np.array(values).reshape(-1, 2).T
        if len(set(figures)) > 1 and len(set(scores)) > 1:
            found[name] = round(float(spearmanr(figures, scores).statistic), 3)
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS), help="can be repeated; default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600, help="steps of 4,096 tokens")
    parser.add_argument("--parts", type=int, default=10, help="number of steps whose weights are probed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for the plots and `decline.json`")
    options = parser.parse_args(arguments)
    options.variant = options.variant or list(VARIANTS)
    return options


if __name__ == "__main__":
    main()
