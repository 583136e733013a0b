"""Compares models on regions of which pretraining saw no tile.

Trains every variant on the processed regions of the workspace, and tests it on the regions of a split. The regions of
all splits are left out of training, so one training serves both. Regions that share a zoom-14 group with one of them,
or touch one, are left out too, whatever their names are. So the protocol of every model must be `transfer` or
`no pretraining`; the script stops if one is not.

Heads are cross-validated over the zoom-14 groups of the test regions together. A score is the mean over tasks of MAE /
MAE of Dummy. Errors of a variant are averaged over its training seeds. Differences of scores have 95 % paired intervals
over groups. A supervised model has its own head, and is compared with the models of every other head. So is gradient
boosting on the logarithms of tag counts, the reference that a practitioner would try first. `linear two-part` uses
predictions in two parts for the tasks that have them. `--fold` tests on one fold alone, for models that are trained in
every fold. Prints JSON. Existing models, embeddings and probes are reused, so an interrupted run can be resumed.

`--split dev` is for choosing between variants. `final` is for reporting: do not choose by its figures.

    python benchmarks/transfer.py --workspace workspace --split dev --variant t --variant tag-ae --tokens 3e6
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

from benchmarks.transfer_scores import BOOSTED, scores, with_boosting
from benchmarks.variants import ABLATIONS, SIZES, VARIANTS, WITH_IMAGES
from geojepa_cli import console, stages
from geojepa_cli.config.heads import HEADS, TWO_PART
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.config.load import load_run_config
from geojepa_cli.console import counted
from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.fitting import SUPERVISED_HEAD
from geojepa_cli.evaluate.predictions import DUMMY
from geojepa_cli.evaluate.protocols import NO_PRETRAINING, PROTOCOLS, TRANSFER, weakest
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.geometry_source import find_encoder
from geojepa_cli.stages.model_family import GAIR
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.stages.report_probes import read_probe
from geojepa_cli.tasks.splits import Groups, next_to
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

BASELINE_HELP = "model to test as it is, or NAME=MODEL,MODEL for seeds of one model; default: those of tags"
TASKS = ("traffic_signals", "building_count", "bridge", "car_bridge", "max_speed")
FOLDS = 5
COUNTS = "tag-log-counts"  # what gradient boosting reads
SAME_POOLING = "tagpool-counts"  # TagPool with the pooling and the sketch of our models

# Both parts of both splits have regions in the US and in Europe.
SPLITS = {
    "dev": ("baltimore-northwest", "harrisburg", "berlin-adlershof", "copenhagen"),
    "final": ("columbus", "honolulu", "helsinki-center", "potsdam"),
}
LEFT_OUT = ("maldives",)  # 5,700 tiles of sea, which would be a fifth of all tiles

Models = Mapping[str, Sequence[Model]]  # by name in the result: the models of all training seeds


FIRST = "-first"  # suffix of the variant with the first weights of a variant, which is not trained


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    tested = [workspace.find("processed", name) for name in SPLITS[options.split]]
    groups = np.concatenate([region_groups(region) for region in tested])
    trained, left_out = training_regions(workspace)
    baselines = {
        name: [find_model(workspace, ref, tested, supervised=True) for ref in refs]
        for name, refs in map(_named, options.baseline)
    }
    check_protocols(baselines, groups)
    tasks = stages.build_tasks(workspace, tested, list(TASKS), folds=FOLDS)
    models: dict[str, Sequence[Model]] = {}
    for name in options.variant:
        made = [train(workspace, options, name, seed, trained) for seed in range(options.seeds)]
        models[_title(name)] = [Model(one.name, one) for one in made]
    models |= baselines
    boosted = {BOOSTED: [find_model(workspace, COUNTS, tested)]}
    protocols = check_protocols(models | boosted, groups)
    result: dict[str, Any] = {"split": options.split, "regions": [one.ref for one in tested]}
    result |= {"trained_on": [one.ref for one in trained], "left_out": left_out}
    result |= {"tokens": options.tokens, "seeds": options.seeds, "fold": options.fold, "protocols": protocols}
    for masked in (True, False):
        errors = test(workspace, options, models, tasks, masked, options.fold)
        reference = test(workspace, options, boosted, tasks, masked, options.fold, heads=["boosting"])
        result["masked" if masked else "plain"] = {
            head: scores(with_boosting(by_task, reference, head), [*models, BOOSTED], [*options.against, BOOSTED])
            for head, by_task in errors.items()
        }
    console.emit_json("transfer", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def training_regions(workspace: Workspace) -> tuple[list[Artifact], dict[str, str]]:
    """Returns the regions to train on, and the reason for each other region that is in no split."""
    trained: list[Artifact] = []
    left_out: dict[str, str] = {}
    names, held_out = workspace.names("processed"), {name for split in SPLITS.values() for name in split}
    groups = np.concatenate([region_groups(workspace.find("processed", name)) for name in held_out & set(names)])
    for region in (workspace.find("processed", name) for name in names):
        own = region_groups(region)
        near = len(np.unique(own[next_to(own, np.unique(groups))]))
        if region.name in held_out:
            continue
        if near:
            left_out[region.name] = f"shares or touches {counted(near, 'zoom-14 group')} of the splits"
        elif region.name in LEFT_OUT:
            left_out[region.name] = "mostly sea"
        else:
            trained.append(region)
    for name, reason in left_out.items():
        console.note(f"`{name}` is left out of training: {reason}")
    if not trained:
        raise SystemExit("error: there is no region to train on that is apart from the tested regions")
    return trained, left_out


def check_protocols(models: Models, groups: Groups) -> dict[str, str]:
    """Returns the protocol of each model, by its name. Prints it.

    Args:
        models: models to test.
        groups: zoom-14 group of each tile of the tested regions, int64.

    Raises:
        SystemExit: a model saw a tile near the tested ones in pretraining, or does not record what it saw.
    """
    found = {}
    for name, seeds in models.items():
        found[name] = weakest([one.name for one in find_protocols(seeds, groups, groups).values()])
        console.note(f"{name}: protocol `{found[name]}`")
    if wrong := [name for name, protocol in found.items() if protocol not in (TRANSFER, NO_PRETRAINING)]:
        refused = ", ".join(f"`{name}` (`{found[name]}`)" for name in wrong)
        raise SystemExit(f"error: expected the protocol `{TRANSFER}` or `{NO_PRETRAINING}`, found {refused}")
    return found


def train(
    workspace: Workspace,
    options: argparse.Namespace,
    name: str,
    seed: int,
    regions: Sequence[Artifact],
    prefix: str = "transfer",
    fold: int | None = None,
) -> Artifact:
    """Trains a variant, or only initialises it if its name ends with `-first`. Returns its artifact.

    Args:
        workspace: workspace to publish to.
        options: number of tokens and of threads.
        name: name of the variant.
        seed: random seed.
        regions: `processed/` artifacts of the regions to train on.
        prefix: beginning of the name of the model.
        fold: fold of the tasks to leave out of training.
    """
    variant = (VARIANTS | ABLATIONS | SIZES)[name.removesuffix(FIRST)]
    settings = {**variant.settings, "train.max_steps": 1, "train.epochs": None}
    tokens = load_run_config(variant.config, [f"{key}={json.dumps(value)}" for key, value in settings.items()]).train
    budget = max(1, round(options.tokens / (tokens.batch_tokens * tokens.accumulation)))
    settings["train.max_steps"] = 0 if name.endswith(FIRST) else budget
    settings |= {} if fold is None else {"data.folds": FOLDS}
    if settings.get("model.geometry_encoder") == GAIR:
        settings["model.geometry_dim"] = find_encoder(workspace, GAIR).kind.dim
    made = f"{prefix}-{name}-{seed}"
    return stages.pretrain(
        workspace, variant.config, regions, name=made, set_=settings, seed=seed, threads=options.threads, fold=fold
    )


def test(
    workspace: Workspace,
    options: argparse.Namespace,
    models: Models,
    tasks: Sequence[Artifact],
    masked: bool,
    fold: int | None = None,
    heads: Sequence[str] | None = None,
) -> dict[str, dict[str, TaskErrors]]:
    """Probes all models. Returns the errors by head and task, averaged over the training seeds of each model.

    Stops if a model has another protocol than its name, if that is the name of a protocol.

    Args:
        workspace: workspace with the models.
        options: heads, and number of threads.
        models: models of all seeds, by name.
        tasks: `tasks/` artifacts.
        masked: hide what reveals the labels.
        fold: the only fold to test on. None: all.
        heads: heads to test. None: those of `options`.
    """
    tried = heads or options.head
    refs = list(dict.fromkeys(one.ref for seeds in models.values() for one in seeds))
    given = {"masked": masked, "head": tried, "threads": options.threads, "fold": fold}
    made = stages.probe(workspace, tasks, refs, **given)
    probes = [read_probe(probe) for probe in made]
    used = {one["head"] for report, _ in probes for one in report["scores"]}
    rows_of = [head for head in (*tried, *map(TWO_PART.format, tried)) if head in used]
    found: dict[str, dict[str, TaskErrors]] = {}
    for report, errors in probes:
        for name in models.keys() & PROTOCOLS:
            if wrong := {one.ref for one in models[name] if report["protocols"][one.ref]["protocol"] != name}:
                raise SystemExit(f"error: expected the protocol `{name}` of {', '.join(sorted(wrong))}")
        rows = {(one["ref"], one["head"]): f"{one['model']} ({one['head']})" for one in report["scores"]}
        for head in rows_of:
            pooled = {DUMMY: errors.dummy}
            for name, seeds in models.items():
                chosen = [_row(rows, one.ref, head) for one in seeds]
                pooled[name] = np.mean([errors.models[row] for row in chosen], axis=0)
            by_task = found.setdefault(head, {})
            by_task[report["task"]] = TaskErrors(errors.tiles, errors.groups, errors.dummy, pooled)
    return found


def _row(rows: Mapping[tuple[str, str], str], ref: str, head: str) -> str:
    """Returns the name of the row of a model in a table of a head. See the first lines of this file."""
    plain = head.removesuffix(TWO_PART.format(""))
    return next(rows[ref, one] for one in (head, plain, SUPERVISED_HEAD) if (ref, one) in rows)


def _title(variant: str) -> str:
    return f"{variant.removesuffix(FIRST)} ({FIRST_WEIGHTS})" if variant.endswith(FIRST) else variant


def _named(baseline: str) -> tuple[str, list[str]]:
    """Returns the name and the models of an option `--baseline`: `NAME`, or `NAME=MODEL,MODEL` for several seeds."""
    name, _, refs = baseline.partition("=")
    return name, refs.split(",") if refs else [name]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--split", choices=tuple(SPLITS), default="dev")
    trained = [*VARIANTS, *ABLATIONS]
    names = [*trained, *(f"{name}{FIRST}" for name in trained)]
    parser.add_argument(
        "--variant",
        action="append",
        choices=names,
        help="can be repeated; default: all but ablations and those with images",
    )
    parser.add_argument("--baseline", action="append", help=BASELINE_HELP)
    parser.add_argument("--against", action="append", help=f"also compare all others with it; default: {SAME_POOLING}")
    parser.add_argument("--first", action="store_true", help="also test the first weights of each variant")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=float, default=25e6, help="tokens to train each model with")
    parser.add_argument("--head", action="append", choices=HEADS, help="can be repeated; default: linear")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="test on this fold alone; default: all folds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    options.variant = options.variant or [name for name in VARIANTS if name not in WITH_IMAGES]
    if options.first:
        first = [f"{name}{FIRST}" for name in options.variant if not name.endswith(FIRST)]
        options.variant = list(dict.fromkeys([*options.variant, *first]))
    options.baseline = options.baseline or ["tagpool", SAME_POOLING, "tag-counts", COUNTS]
    tested = {*map(_title, options.variant), *(_named(one)[0] for one in options.baseline), BOOSTED, DUMMY}
    if wrong := [name for name in options.against or () if name not in tested]:
        parser.error(f"argument --against: `{wrong[0]}` is not tested; choose from {', '.join(sorted(tested))}")
    options.against = options.against or [SAME_POOLING]
    options.head = options.head or ["linear"]
    return options


if __name__ == "__main__":
    main()
