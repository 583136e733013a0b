"""Compares how well models find tiles with the same map feature, on regions of a split of `transfer.py`.

Every model is searched with the defining tags visible (plain) and hidden (masked), in every space. Figures are means
over features, with 95 % intervals over the zoom-14 groups of the queries, and paired differences between models and
between spaces. Query figures of a variant are averaged over its training seeds.

`--model` is a variant that `transfer.py` has trained, a model or a baseline. With `-first` after the name of a variant
or of a model that comes with geojepa, it is the same model with its first weights, which is made if it is missing. Each
table names the protocol of every model; a model that saw the regions is not left out. Prints JSON. Existing artifacts
are reused, so an interrupted run can be resumed.

The split `all` has all regions of the workspace.

    python benchmarks/retrieval.py --workspace workspace --split dev --model geojepa-small --model tiny --space centred
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import benchmarks.transfer as transfer
from benchmarks.variants import Variant
from geojepa_cli import console, stages
from geojepa_cli.config.names import CONFIG
from geojepa_cli.config.spaces import FORMS
from geojepa_cli.evaluate.protocols import weakest
from geojepa_cli.evaluate.retrieval import FIGURES, Feature, FeatureScores, Row
from geojepa_cli.evaluate.retrieval_report import RANDOM, retrieval_report
from geojepa_cli.stages.shipped import open_shipped
from geojepa_cli.tasks.splits import group_number
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

ALL = "all"
BASELINES = ("tagpool", transfer.SAME_POOLING, transfer.COUNTS)

Queries = dict[tuple[str, str], dict[str, str]]  # line of `queries.csv` by feature and tile or entity


def main(arguments: Sequence[str] | None = None) -> None:
    """Searches, averages, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    names = workspace.names("processed") if options.split == ALL else transfer.SPLITS[options.split]
    regions = [workspace.find("processed", name) for name in names]
    models = {
        name: find_models(workspace, options, name, regions) for name in dict.fromkeys([*options.model, *BASELINES])
    }
    result: dict[str, Any] = {"split": options.split, "regions": [one.ref for one in regions], "seeds": options.seeds}
    for masked in (False, True):
        made = {name: search(workspace, options, seeds, regions, masked) for name, seeds in models.items()}
        for task in next(iter(made.values()))[0]:
            by_variant = result.setdefault("tasks", {}).setdefault(task, {})
            by_variant["masked" if masked else "plain"] = compare(options, task, made)
    console.emit_json("retrieval", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def find_models(workspace: Workspace, options: argparse.Namespace, name: str, regions: Sequence[Artifact]) -> list[str]:
    """Returns the references of the models of all training seeds; of a model without seeds, its own name.

    Args:
        workspace: workspace with the models.
        options: number of seeds and of threads.
        name: name of a variant or model, perhaps with `-first`.
        regions: regions to name in the configuration of models of zero steps, which read no tile.
    """
    plain, first = name.removesuffix(transfer.FIRST), name.endswith(transfer.FIRST)
    if plain in transfer.VARIANTS and not first:
        return [workspace.find("models", f"transfer-{name}-{seed}").ref for seed in range(options.seeds)]
    if not first:
        return [name]
    variant = transfer.VARIANTS.get(plain)
    if variant is None:
        variant = Variant(str(open_shipped(plain).folder / CONFIG), {"train.max_minutes": None})
    settings = {**variant.settings, "train.max_steps": 0, "train.epochs": None}
    given = {"set_": settings, "threads": options.threads}
    made = [
        stages.pretrain(workspace, variant.config, regions[:1], name=f"retrieval-{name}-{seed}", seed=seed, **given)
        for seed in range(options.seeds)
    ]
    return [one.ref for one in made]


def search(
    workspace: Workspace, options: argparse.Namespace, models: Sequence[str], regions: Sequence[Artifact], masked: bool
) -> list[dict[str, Artifact]]:
    """Searches with each model alone, so that artifacts are reused whatever models are compared.

    Returns the artifact by task for each model. The name of the task is `features` for all features together.
    """
    found = []
    for model in models:
        given = {"masked": masked, "space_": options.space, "seed": 0, "threads": options.threads}
        made = stages.probe_retrieval(workspace, options.task, model, regions, **given)
        found.append({one.read_json("report.json")["task"]: one for one in made})
    return found


def compare(
    options: argparse.Namespace, task: str, made: Mapping[str, Sequence[Mapping[str, Artifact]]]
) -> dict[str, Any]:
    """Returns figures and paired differences of all models for one task."""
    rows = [Row(name, space) for space in options.space for name in made]
    artifacts = {name: [one[task] for one in seeds] for name, seeds in made.items()}
    reports = {name: [one.read_json("report.json") for one in seeds] for name, seeds in artifacts.items()}
    queries = {name: [_read(one) for one in seeds] for name, seeds in artifacts.items()}
    first, report = next(iter(queries.values()))[0], next(iter(reports.values()))[0]
    features = []
    for one in report["features"]:
        keys = [key for key in first if key[0] == one["name"]]
        lines = [first[key] for key in keys]
        figures = {}
        for row in rows:
            pairs = zip(queries[row.model], reports[row.model], strict=True)
            tables = [_figures([of_seed[key] for key in keys], _heads(seed, row)) for of_seed, seed in pairs]
            figures[row] = np.mean(tables, axis=0)
        groups = np.array([group_number(line["group"]) for line in lines], np.int64)
        random = _figures(lines, [f"{RANDOM} {figure}" for figure in FIGURES])
        feature = Feature(one["name"], one["title"], np.ones(one["with_feature"], bool))
        features.append(FeatureScores(feature, np.arange(len(lines)), groups, random, figures))
    protocols = {name: weakest([_score(one)["protocol"] for one in of_model]) for name, of_model in reports.items()}
    facts = {key: report[key] for key in ("searched_groups", "without_queries", "k") if key in report}
    return {"protocols": protocols, **facts, **retrieval_report(features, rows, 0)}


def _score(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the first score of the model that was asked for, which is the first one in the report."""
    score: Mapping[str, Any] = report["scores"][0]
    return score


def _heads(report: Mapping[str, Any], row: Row) -> list[str]:
    return [f"{_score(report)['model']} ({row.space}) {figure}" for figure in FIGURES]


def _read(made: Artifact) -> Queries:
    with made.file("queries.csv").open(newline="", encoding="utf-8") as file:
        return {(line["feature"], line.get("entity", line["tile"])): line for line in csv.DictReader(file)}


def _figures(lines: Iterable[Mapping[str, str]], columns: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([[float(line[column]) for column in columns] for line in lines])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--split", choices=(*transfer.SPLITS, ALL), default="dev")
    parser.add_argument("--model", action="append", default=[], help="can be repeated; baselines of tags are added")
    parser.add_argument(
        "--task", action="append", help="feature or entity task; can be repeated; default: all features"
    )
    parser.add_argument("--space", action="append", choices=FORMS, help="can be repeated; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of variants")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    options.space = options.space or list(FORMS)
    return options


if __name__ == "__main__":
    main()
