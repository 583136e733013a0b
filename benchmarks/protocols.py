"""Compares the three protocols on the same tiles: how much of a gain is memory of the tested places.

Trains one variant three times: without the tested regions (`transfer`), with them but without fold 0 of the tasks and
the groups next to it (`unseen groups`), and with all their tiles (`seen`). All are tested on fold 0 of the regions of
the split `dev` of `transfer.py`; heads are trained on the other folds. A score is the mean over tasks of MAE / MAE of
Dummy, averaged over training seeds. Differences have 95 % paired intervals over groups. The script stops if a model has
another protocol. Prints JSON. Existing models and probes are reused, so an interrupted run can be resumed.

    python benchmarks/protocols.py --workspace workspace --variant tiny --tokens 2.4e6
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import benchmarks.transfer as transfer
from benchmarks.transfer_scores import scores
from geojepa_cli import console, stages
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.evaluate.protocols import SEEN, TRANSFER, UNSEEN_GROUPS
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

FOLD = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    tested = [workspace.find("processed", name) for name in transfer.SPLITS["dev"]]
    tasks = stages.build_tasks(workspace, tested, list(transfer.TASKS), folds=transfer.FOLDS)
    models = {name: [Model(one.name, one) for one in made] for name, made in train(workspace, options, tested).items()}
    models |= {name: [find_model(workspace, name, tested)] for name in ("tagpool", transfer.SAME_POOLING)}
    result: dict[str, Any] = {"regions": [one.ref for one in tested], "fold": FOLD, "tokens": options.tokens}
    against = (transfer.SAME_POOLING, FIRST_WEIGHTS, TRANSFER, UNSEEN_GROUPS)
    for masked in (True, False):
        errors = transfer.test(workspace, options, models, tasks, masked, fold=FOLD)
        result["masked" if masked else "plain"] = {
            head: scores(by_task, list(models), against) for head, by_task in errors.items()
        }
    console.emit_json("protocols", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train(workspace: Workspace, options: argparse.Namespace, tested: Sequence[Artifact]) -> dict[str, list[Artifact]]:
    """Trains the models of all protocols, and makes one that is not trained. Returns them by protocol."""
    apart, _ = transfer.training_regions(workspace)
    everything = sorted([*apart, *tested], key=lambda region: region.name)
    seeds, name = range(options.seeds), options.variant
    given: dict[str, dict[str, Any]] = {
        TRANSFER: {"regions": apart},
        UNSEEN_GROUPS: {"regions": everything, "prefix": "unseen", "fold": FOLD},
        SEEN: {"regions": everything, "prefix": "seen"},
    }
    made = {
        protocol: [transfer.train(workspace, options, name, seed, **one) for seed in seeds]
        for protocol, one in given.items()
    }
    first = f"{name}{transfer.FIRST}"
    made[FIRST_WEIGHTS] = [transfer.train(workspace, options, first, seed, apart) for seed in seeds]
    return made


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--variant", choices=tuple(transfer.VARIANTS), default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=float, default=2.4e6, help="tokens to train each model with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    options.head = ["linear"]
    return options


if __name__ == "__main__":
    main()
