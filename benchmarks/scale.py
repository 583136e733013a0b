"""Measures how transfer depends on the number of training tokens, and on the width and depth of the model.

Trains `tiny.yaml` with every number of tokens, and models of other widths and depths (`SIZES` in `variants.py`) with
one number of tokens. Training regions, tested regions, heads and scores are those of `transfer.py`. Every point has the
paired difference from the first weights of the same size, with a 95 % interval over groups. Prints JSON, which
`scale_picture.py` draws. Existing models, embeddings and probes are reused, so an interrupted run can be resumed.

    python benchmarks/scale.py --workspace workspace --tokens 153600 --tokens 614400 --out scale.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import benchmarks.transfer as transfer
from benchmarks.transfer_scores import BOOSTED, scores, with_boosting
from benchmarks.variants import SIZES
from geojepa_cli import console, stages
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

BASE = "tiny"
TOKENS = (153_600, 307_200, 614_400, 1_228_800, 2_457_600)
HEAD = "linear"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    tested = [workspace.find("processed", name) for name in transfer.SPLITS["dev"]]
    regions, _ = transfer.training_regions(workspace)
    made = train(workspace, options, regions)
    models = {name: [Model(one.name, one) for one in seeds] for name, seeds in made.items()}
    same_pooling = {transfer.SAME_POOLING: [find_model(workspace, transfer.SAME_POOLING, tested)]}
    boosted = {BOOSTED: [find_model(workspace, transfer.COUNTS, tested)]}
    groups = np.concatenate([region_groups(region) for region in tested])
    transfer.check_protocols(models | same_pooling | boosted, groups)
    tasks = stages.build_tasks(workspace, tested, list(transfer.TASKS), folds=transfer.FOLDS)
    result: dict[str, Any] = {"regions": [one.ref for one in tested], "seeds": options.seeds}
    result["points"] = {name: point(name, seeds) for name, seeds in made.items()}
    for masked in (True, False):
        errors = transfer.test(workspace, options, models | same_pooling, tasks, masked)
        reference = transfer.test(workspace, options, boosted, tasks, masked, heads=["boosting"])
        result["masked" if masked else "plain"] = {
            head: scores(
                with_boosting(by_task, reference, head),
                [*models, transfer.SAME_POOLING, BOOSTED],
                [transfer.SAME_POOLING, BOOSTED, *map(first, dict.fromkeys([BASE, *options.size]))],
            )
            for head, by_task in errors.items()
        }
    console.emit_json("scale", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train(
    workspace: Workspace, options: argparse.Namespace, regions: Sequence[Artifact]
) -> Mapping[str, list[Artifact]]:
    """Trains the models of all points. Returns those of all seeds, by name of the point.

    The first weights of a size are the point with 0 tokens.
    """
    points = [(BASE, tokens) for tokens in options.tokens]
    points += [(size, options.size_tokens) for size in options.size]
    found: dict[str, list[Artifact]] = {}
    for variant, tokens in points:
        given = argparse.Namespace(tokens=tokens, threads=options.threads)
        for name, label in ((variant, f"{variant}, {tokens:,} tokens"), (f"{variant}{transfer.FIRST}", first(variant))):
            seeds = range(options.seeds)
            found[label] = [transfer.train(workspace, given, name, seed, regions) for seed in seeds]
    return found


def first(variant: str) -> str:
    """Returns the name of the point with the first weights of a size."""
    return f"{variant} ({FIRST_WEIGHTS})"


def point(name: str, seeds: Sequence[Artifact]) -> dict[str, Any]:
    """Returns the size of the models of a point, and the mean number of tokens that training saw."""
    counts = [one.counts for one in seeds]
    return {
        "variant": name.partition(",")[0].partition(" (")[0],
        "parameters": counts[0]["parameters"],
        "tokens_seen": float(np.mean([one["tokens_seen"] for one in counts])),
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument(
        "--tokens", type=int, action="append", help="training tokens of a point; can be repeated; default: five values"
    )
    parser.add_argument("--size", action="append", choices=tuple(SIZES), help="can be repeated; default: all")
    parser.add_argument("--size-tokens", type=int, default=614_400, help="training tokens of the other sizes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    options.tokens = options.tokens or list(TOKENS)
    options.size = list(SIZES) if options.size is None else options.size
    options.head = [HEAD]
    return options


if __name__ == "__main__":
    main()
