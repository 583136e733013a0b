"""Compares models on the demo city, which has an image of every tile: what do images and geometry add?

Makes the city if the workspace does not hold it. Trains every variant on it, and tests it on the same tiles, so the
protocol is `seen` for all of them: differences show what the inputs add, not what carries over to other places. Heads
are cross-validated over the zoom-14 groups. A score is the mean over tasks of MAE / MAE of Dummy, averaged over
training seeds; differences have 95 % paired intervals over groups. Prints JSON.

    python benchmarks/city.py --workspace city --variant tiny --variant tiny-ti --against tiny
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
from benchmarks.variants import VARIANTS
from geojepa_cli import console, stages
from geojepa_cli.stages.demo import NAME
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.workspace.workspace import Workspace

DEFAULT = ("tiny", "tiny-gt", "tiny-ti", "tiny-gti")


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    if NAME not in workspace.names("processed"):
        stages.demo(workspace, threads=options.threads)
    city = workspace.find("processed", NAME)
    tasks = stages.build_tasks(workspace, [city], list(transfer.TASKS), folds=transfer.FOLDS)
    models: dict[str, Sequence[Model]] = {}
    for name in options.variant:
        made = [transfer.train(workspace, options, name, seed, [city], "city") for seed in range(options.seeds)]
        models[name] = [Model(one.name, one) for one in made]
    models["tagpool-counts"] = [find_model(workspace, transfer.SAME_POOLING, [city])]
    result: dict[str, Any] = {"region": city.ref, "tokens": options.tokens, "seeds": options.seeds, "protocol": "seen"}
    for masked in (True, False):
        errors = transfer.test(workspace, options, models, tasks, masked)
        result["masked" if masked else "plain"] = {
            head: scores(by_task, list(models), options.against) for head, by_task in errors.items()
        }
    console.emit_json("city", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS), help="can be repeated")
    parser.add_argument("--against", action="append", help="also compare all others with it; default: tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=float, default=1e6, help="tokens to train each model with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    options.variant = options.variant or list(DEFAULT)
    options.against = options.against or ["tiny"]
    options.head = ["linear"]
    return options


if __name__ == "__main__":
    main()
