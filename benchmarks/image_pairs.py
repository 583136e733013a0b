"""Case study on real pairs of map and image: what do aerial images add where the map is hidden?

Embeds the tiles of a task with trained models, masked and plain, and predicts the label of each tile by ridge
regression on all other tiles (leave one out; columns standardised, penalty chosen by leave-one-out among the others).
Prints the MAE of each model, averaged over its training seeds, divided by the MAE of the median of the other tiles, and
paired differences with 95 % intervals from a bootstrap over tiles. Neighbouring tiles are alike and the tiles are few,
so this shows nothing that holds elsewhere. Prints JSON.

Fetch a pair, build its tasks with `--split random --folds 2 --with-imagery`, and train the models first:

    python benchmarks/image_pairs.py --workspace pairs --task san-jose.building_count --model tiny=A,B --model ti=C,D
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console, stages
from geojepa_cli.config.limits import MAX_FOLDS
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.label_file import read_labels
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

PENALTIES = np.logspace(0, 5, 11)
DRAWS = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Embeds, predicts, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    models = {name: refs.split(",") for name, _, refs in (one.partition("=") for one in options.model)}
    found: dict[str, Any] = {}
    for task in (workspace.find("tasks", one) for one in options.task):
        for masked in (True, False):
            found[f"{task.name}, {'masked' if masked else 'plain'}"] = compare(workspace, task, models, masked)
    console.emit_json("image_pairs", None, found)


def compare(
    workspace: Workspace, task: Artifact, models: dict[str, list[str]], masked: bool, draws: int = DRAWS
) -> dict[str, Any]:
    """Compares models on the tiles of one task.

    Args:
        workspace: workspace with the models.
        task: `tasks/` artifact.
        models: references of the training seeds of each model.
        masked: hide what reveals the label.
        draws: number of bootstrap samples.
    """
    errors: dict[str, NDArray[np.float64]] = {}
    for name, refs in models.items():
        read = [vectors_and_labels(workspace, task, ref, masked) for ref in refs]
        labels = read[0][1]
        errors[name] = np.mean([np.abs(leave_one_out(x, labels) - labels) for x, _ in read], axis=0)
    others = [np.median(np.delete(labels, row)) for row in range(len(labels))]
    errors["dummy"] = np.abs(np.array(others) - labels)
    if not errors["dummy"].any():
        return {"tiles": len(labels), "note": "the median predicts all labels"}
    samples = np.random.default_rng(0).integers(len(labels), size=(draws, len(labels)))
    names, by_sample = list(models), {name: one[samples].mean(1) for name, one in errors.items()}
    scale = errors["dummy"].mean()
    differences = {}
    for first, second in ((a, b) for at, a in enumerate(names) for b in names[:at]):
        low, high = np.percentile((by_sample[first] - by_sample[second]) / scale, [2.5, 97.5])
        value = (errors[first].mean() - errors[second].mean()) / scale
        differences[f"{first} - {second}"] = [round(float(x), 3) for x in (value, low, high)]
    scores = {name: round(float(one.mean() / scale), 3) for name, one in errors.items()}
    return {"tiles": len(labels), "mae_dummy": float(scale), "mae_ratio": scores, **differences}


def leave_one_out(x: NDArray[np.float32], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predicts the label of each row from all other rows. float64 [n]"""
    predicted = np.empty(len(labels))
    for row in range(len(labels)):
        others = np.arange(len(labels)) != row
        ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(x[others], labels[others])
        predicted[row] = ridge.predict(x[row : row + 1])[0]
    return predicted


def vectors_and_labels(
    workspace: Workspace, task: Artifact, model: str, masked: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Returns the vectors and labels of the labelled tiles of a task. float32 [n, W], float64 [n]"""
    given = find_model(workspace, model).ref
    region = next(ref for ref in task.inputs if ref.startswith("processed/")).removeprefix("processed/")
    (made,) = stages.embed(workspace, given, region, task=task, masked=masked, threads=1)
    vectors = Embeddings(made.file("embeddings.h5"))
    n_tiles = RegionStore(workspace.find("processed", region).file("processed.h5")).n_tiles
    columns = read_labels(task.file("labels.h5"), n_tiles, MAX_FOLDS, None)
    rows = vectors["tile/row"]
    label, eligible = columns["label"][rows], columns["eligible"][rows].astype(bool)
    known = eligible & np.isfinite(label)
    return np.array(vectors["tile/vector"][known]), np.asarray(label[known], np.float64)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--task", action="append", required=True, help="`tasks/` artifact; can be repeated")
    parser.add_argument("--model", action="append", required=True, help="NAME=MODEL,MODEL for the seeds of a model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
