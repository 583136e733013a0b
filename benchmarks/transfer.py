"""Compares models on regions of which pretraining saw no tile.

Trains every variant on all processed regions of the workspace but the test regions, and tests it on these. Heads are
cross-validated over the zoom-14 groups of the test regions together. A score is the mean over tasks of MAE / MAE of
Dummy. Errors of a variant are averaged over its training seeds. Differences of scores have 95 % paired intervals over
groups. Prints JSON. What exists is not computed again, so an interrupted run can be resumed.

The five tasks must not be built beforehand. `--split dev` is for choosing between variants; `final` is for reporting,
and its regions should be looked at only at the end.

    python benchmarks/transfer.py --workspace workspace --split dev --variant t --variant gt --tokens 3e6
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console, stages
from geojepa_cli.config.load import load_config
from geojepa_cli.evaluate.comparison import TaskErrors, compare
from geojepa_cli.stages.reports import read_probe
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

TASKS = ("traffic_signals", "building_count", "bridge", "car_bridge", "max_speed")
FOLDS = 5
TAGPOOL = "tagpool"

# Both parts of both splits have regions in the US and in Europe.
SPLITS = {
    "dev": ("baltimore-northwest", "harrisburg", "berlin-adlershof", "copenhagen"),
    "final": ("columbus", "honolulu", "helsinki-center", "potsdam"),
}
LEFT_OUT = ("maldives",)  # 5,700 tiles of sea, which would be a fifth of all tiles


class Variant(NamedTuple):
    """Configuration to train.

    Attributes:
        config: name of a packed configuration.
        settings: settings to replace.
    """

    config: str
    settings: Mapping[str, Any]


# the size of issue comparisons: an hour on two cores is about 20 passes over the tiles
SIZE = {
    "model.embed_dim": 192,
    "model.depth": 6,
    "model.num_heads": 6,
    "model.predictor_dim": 96,
    "model.predictor_depth": 3,
    "model.predictor_heads": 6,
    "train.accumulation": 1,
    "train.batch_tokens": 4096,
    "train.epochs": None,
}
GEOMETRY = {"model.modalities": ["tags", "geometry"]}
VARIANTS = {
    "t": Variant("t.yaml", SIZE),
    "gt": Variant("gt.yaml", SIZE),
    "gt-polygon": Variant("gt.yaml", {**SIZE, "model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 256}),
    "paper-t": Variant("paper-t.yaml", SIZE),
    "paper-gt": Variant("paper-gt.yaml", SIZE),
    "small": Variant("small.yaml", SIZE),
    "small-gt": Variant("small.yaml", {**SIZE, **GEOMETRY}),
    "small-gt-polygon": Variant(
        "small.yaml",
        {**SIZE, **GEOMETRY, "model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 256},
    ),
    "tiny": Variant("tiny.yaml", {}),
    "tiny-gt": Variant("tiny.yaml", GEOMETRY),
}


def main() -> None:
    """Trains, tests, compares, prints."""
    options = _options()
    workspace = Workspace(options.workspace)
    tested = SPLITS[options.split]
    trained = sorted({one.name for one in workspace.artifacts("processed")} - {*tested, *LEFT_OUT})
    stages.build_tasks(workspace, region=list(tested), folds=FOLDS)
    models: dict[str, list[Artifact | str]] = {}
    for name in options.variant:
        for seed in range(options.seeds):
            models.setdefault(name, []).append(train(workspace, options, name, seed, trained))
        if options.first:
            first = [train(workspace, options, name, seed, trained, steps=0) for seed in range(options.seeds)]
            models[f"{name} (first weights)"] = [*first]
    models |= {name: [name] for name in options.baseline}
    result: dict[str, Any] = {"split": options.split, "regions": list(tested), "trained_on": trained}
    result |= {"tokens": options.tokens, "seeds": options.seeds}
    for masked in (True, False):
        errors = test(workspace, options, models, tested, masked)
        result["masked" if masked else "plain"] = {
            head: scores(by_task, models, options.against) for head, by_task in errors.items()
        }
    console.emit_json("transfer", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train(
    workspace: Workspace,
    options: argparse.Namespace,
    name: str,
    seed: int,
    regions: Sequence[str],
    steps: int | None = None,
) -> Artifact:
    """Trains a variant, or only initialises it if `steps` is 0. Returns its artifact."""
    variant = VARIANTS[name]
    settings = dict(variant.settings)
    tokens = load_config(variant.config, [f"{key}={json.dumps(value)}" for key, value in settings.items()]).train
    budget = round(options.tokens / (tokens.batch_tokens * tokens.accumulation)) if steps is None else steps
    settings |= {"train.max_steps": budget, "train.epochs": None}
    suffix = "-first" if steps == 0 else ""
    return stages.pretrain(
        workspace,
        variant.config,
        regions if steps is None else regions[:1],
        name=f"transfer-{name}{suffix}-{seed}",
        set_=settings,
        seed=seed,
        threads=options.threads,
    )


def test(
    workspace: Workspace,
    options: argparse.Namespace,
    models: Mapping[str, Sequence[Artifact | str]],
    regions: Sequence[str],
    masked: bool,
) -> dict[str, dict[str, TaskErrors]]:
    """Probes all models. Returns the errors by head and task, averaged over the training seeds of each model."""
    listed = [one for seeds in models.values() for one in seeds]
    probes = stages.probe(
        workspace, list(TASKS), listed, list(regions), masked=masked, head=options.head, threads=options.threads
    )
    found: dict[str, dict[str, TaskErrors]] = {}
    for task, probe in zip(TASKS, probes, strict=True):
        errors = read_probe(probe)[1]
        for head in options.head:
            rows = {name: [f"{_name(one)} ({head})" for one in seeds] for name, seeds in models.items()}
            pooled = {
                name: np.mean([errors.models[row] for row in row_names], axis=0) for name, row_names in rows.items()
            }
            found.setdefault(head, {})[task] = TaskErrors(errors.tiles, errors.groups, errors.dummy, pooled)
    return found


def scores(
    errors: Mapping[str, TaskErrors], models: Mapping[str, Sequence[Artifact | str]], against: Sequence[str]
) -> dict[str, Any]:
    """Returns the score of each model, by task and their mean, and paired differences from the models in `against`."""
    result: dict[str, Any] = {}
    for name in models:
        by_task = {task: float(one.models[name].mean() / one.dummy.mean()) for task, one in errors.items()}
        others = [other for other in (*against, f"{name} (first weights)") if other in models and other != name]
        result[name] = {
            "score": float(np.mean(list(by_task.values()))),
            "by_task": by_task,
            "differences": {other: compare(errors, name, other).to_json()["difference"] for other in others},
        }
    result["groups"] = len(set(np.concatenate([one.groups for one in errors.values()]).tolist()))
    return result


def _name(model: Artifact | str) -> str:
    return model if isinstance(model, str) else model.name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--split", choices=tuple(SPLITS), default="dev")
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS), help="can be repeated; default: all")
    parser.add_argument("--baseline", action="append", help="model to test as it is; default: tagpool, tag-counts")
    parser.add_argument("--against", action="append", help="model to compare all others with; default: tagpool")
    parser.add_argument("--first", action="store_true", help="also test the first weights of each variant")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=float, default=25e6, help="tokens to train each model with")
    parser.add_argument("--head", action="append", help="can be repeated; default: linear")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args()
    options.variant = options.variant or list(VARIANTS)
    options.baseline = options.baseline or [TAGPOOL, "tag-counts"]
    options.against = options.against or [TAGPOOL]
    options.head = options.head or ["linear"]
    return options


if __name__ == "__main__":
    main()
