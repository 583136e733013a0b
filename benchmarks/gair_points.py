"""Compares GAIR models at points of zoom-14 groups that pretraining left out: decoders, coordinate noise, negatives.

Trains every variant with several seeds, each on several parts of the region, and tests each model on the rest with
`probe --retrieval entity-image` and `probe --offset`. The figures of a query are averaged over all models of a variant
that did not see it. Intervals and paired differences are bootstraps over zoom-14 groups. `ratios` are recall@1 of the
first variant divided by that of every other row. Prints JSON. Existing models and probes are reused, so an interrupted
run can be resumed.

`--leave-out folds` leaves out folds of `pretrain --fold`, with the groups next to them. In a small region, few tiles
are left to train on. `--leave-out splits` leaves out only the test groups of the splits with the seeds 0, 1, ...
(protocol `seen neighbours`).

With `--test-region`, training sees all tiles of the other regions, and none of the tested ones. The script stops if the
protocol is not `transfer`. `benchmarks/demo_cities.py` makes several cities for this.

    python benchmarks/gair_points.py --workspace city --steps 300 --variant mlp --variant centre
    python benchmarks/gair_points.py --workspace cities --region city-1 --region city-2 --test-region city-0
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console, stages
from geojepa_cli.evaluate.entity_image import CELLS, FIGURES, Cell
from geojepa_cli.evaluate.offset_curve import CURVES, DISTANCES_M
from geojepa_cli.evaluate.point_groups import FIRST_WEIGHTS, Figures, Floats, Row
from geojepa_cli.evaluate.point_report import Means, entity_image_report, offset_report, rounded
from geojepa_cli.evaluate.protocols import TRANSFER
from geojepa_cli.evaluate.retrieval_report import RANDOM
from geojepa_cli.grid import parse_tile
from geojepa_cli.models.gair.readings import AT_POINT, READINGS
from geojepa_cli.stages.demo import NAME
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.tasks.splits import SPLITS, Groups, fold_groups, split_groups
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

NOISE, DECODER = "ground.coordinate_noise_m", "model.decoder"
NEAR, EQUAL = "loss.false_negative_m", "loss.equal_tags"
VARIANTS: dict[str, dict[str, object]] = {
    "mlp": {},
    **{decoder: {DECODER: decoder} for decoder in ("linear", "bilinear", "nearest", "centre", "mean")},
    **{f"noise-{metres}": {NOISE: metres} for metres in (5, 20, 50)},
    "no-distance-mask": {NEAR: 0},
    "no-tag-mask": {EQUAL: False},
    "no-masks": {NEAR: 0, EQUAL: False},
}
DEFAULT, FOLDS = ("mlp", "centre"), "folds"
SETTINGS = ("region", "test_region", "variant", "leave_out", "seeds", "steps", "set")
CURVE_COLUMNS = tuple(f"{figure} at {distance:g} m" for figure in CURVES for distance in DISTANCES_M)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, compares, prints."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    if options.region == [NAME] and NAME not in workspace.names("processed"):
        stages.demo(workspace, threads=options.threads)
    searches: dict[Cell, list[Figures]] = {cell: [] for cell in CELLS}
    curves: list[Figures] = []
    protocols: set[str] = set()
    tiles = []
    for part, seed in itertools.product(parts(workspace, options), range(options.seeds)):
        models = {name: train(workspace, options, name, part, seed) for name in options.variant}
        found, curve, names = probe(workspace, options, models)
        for cell, figures in found.items():
            searches[cell].append(figures)
        curves.append(curve)
        protocols |= names
        tiles.append(models[options.variant[0]].counts["tiles"])
    pooled = {cell: pool(found) for cell, found in searches.items()}
    result: dict[str, Any] = {
        **{name: getattr(options, name) for name in SETTINGS},
        "protocols": sorted(protocols),
        "training_tiles": tiles,
        **entity_image_report(pooled, 0),
        "ratios": [{**cell._asdict(), "recall_1": ratios(one, options.variant[0])} for cell, one in pooled.items()],
        "offset": offset_report(pool(curves), 0),
    }
    console.emit_json("gair_points", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def parts(workspace: Workspace, options: argparse.Namespace) -> list[int | None]:
    """Returns the numbers of the parts that leave out a group. None stands for a training on whole regions."""
    if options.test_region:
        return [None]
    groups = np.concatenate([region_groups(workspace.find("processed", name)) for name in options.region])
    return [one for one in range(options.parts) if left_out(groups, one, options).any()]


def left_out(groups: Groups, part: int, options: argparse.Namespace) -> NDArray[np.bool_]:
    """Returns True for the zoom-14 groups that a part leaves out of training to test them."""
    if options.leave_out == FOLDS:
        return np.asarray(fold_groups(groups, options.parts, 0) == part)
    return np.asarray(split_groups(groups, part) == SPLITS.index("test"))


def train(workspace: Workspace, options: argparse.Namespace, variant: str, part: int | None, seed: int) -> Artifact:
    """Trains a variant without the groups that a part leaves out. An existing model is returned as it is."""
    settings = dict(pair.split("=", 1) for pair in options.set) | VARIANTS[variant]
    settings |= {"train.max_steps": options.steps, "train.epochs": None}
    if part is None:
        settings |= {"data.exclude_test_groups": False}
    elif options.leave_out == FOLDS:
        settings |= {"data.fold": part, "data.folds": options.parts}
    else:
        settings |= {"data.split_seed": part}
    name = f"points-{variant}-{seed}" if part is None else f"points-{variant}-{options.leave_out}-{part}-{seed}"
    given = (workspace, options.config, options.region, settings, name, seed)
    return stages.pretrain(*given, device=options.device, threads=options.threads)


def probe(
    workspace: Workspace, options: argparse.Namespace, models: Mapping[str, Artifact]
) -> tuple[dict[Cell, Figures], Figures, set[str]]:
    """Tests models, each on its own. Returns the figures of all searches and curves, and the names of the protocols."""
    searches: dict[Cell, list[Figures]] = {cell: [] for cell in CELLS}
    curves: list[Figures] = []
    protocols: set[str] = set()
    for name, model in models.items():
        given = (workspace, model, options.test_region or options.region, options.tiles, 0)
        search = stages.probe_entity_image(*given, device=options.device, threads=options.threads)
        protocols |= check_protocols(search, options)
        curve = stages.probe_offset(*given, device=options.device, threads=options.threads)
        for cell, found in searches.items():
            found.append(read(search, name, FIGURES, READINGS, cell))
        curves.append(read(curve, name, CURVE_COLUMNS, (AT_POINT,)))
    return {cell: join(found) for cell, found in searches.items()}, join(curves), protocols


def check_protocols(made: Artifact, options: argparse.Namespace) -> set[str]:
    """Returns the names of the protocols of the models of a probe.

    Raises:
        SystemExit: a model saw a tile near the regions of `--test-region` in pretraining.
    """
    found = {about["protocol"] for about in made.read_json("report.json")["models"].values()}
    if options.test_region and found != {TRANSFER}:
        seen = ", ".join(f"`{one}`" for one in sorted(found - {TRANSFER}))
        raise SystemExit(
            f"error: expected the protocol `{TRANSFER}`, found {seen}: name other regions with --test-region"
        )
    return found


def read(
    made: Artifact, variant: str, columns: Sequence[str], readings: Sequence[str], cell: Cell | None = None
) -> Figures:
    """Reads the figures of all queries of a probe.

    Args:
        made: artifact of the probe of one model.
        variant: name of the model in the result.
        columns: names of the figures in `queries.csv`.
        readings: readings of the models, in addition to their first weights.
        cell: search to read; None for `probe --offset`.
    """
    (label,) = made.read_json("report.json")["models"]
    with made.file("queries.csv").open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if cell is None or _cell(line) == cell]
    rows: dict[Row | None, str] = {None: RANDOM}
    rows |= {Row(variant, reading): f"{label} ({reading})" for reading in (*readings, FIRST_WEIGHTS)}
    figures = Figures([np.array([_group(line["tile"]) for line in lines], np.int64)])
    figures.entities = [(line["entity"], line["tile"]) for line in lines]
    for row, name in rows.items():
        values = [[float(line[f"{name} {column}"]) for column in columns] for line in lines]
        figures.add(row, np.array(values).reshape(len(lines), len(columns)))
    return figures


def join(figures: Sequence[Figures]) -> Figures:
    """Returns the figures of several models on the same queries.

    Raises:
        SystemExit: the models were tested on different queries.
    """
    first = figures[0]
    if any(one.entities != first.entities for one in figures):
        raise SystemExit("error: the models were tested on different entities")
    values = {row: parts for one in figures for row, parts in one.values.items()}
    return Figures(first.groups, first.entities, values)


def pool(figures: Sequence[Figures]) -> Figures:
    """Returns all queries of several probes, each with the mean of its figures over the probes that have it."""
    names = [one for each in figures for one in each.entities]
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    places = sorted(first.values())
    number = {names[place]: index for index, place in enumerate(places)}
    owner = np.array([number[name] for name in names], np.int64)
    counts = np.bincount(owner, minlength=len(places))[:, None]
    values: dict[Row | None, list[Floats]] = {}
    for row in figures[0].values:
        found = np.concatenate([one.of(row) for one in figures])
        sums = np.zeros((len(places), found.shape[1]))
        np.add.at(sums, owner, found)
        values[row] = [sums / counts]
    groups = np.concatenate([one.all_groups for one in figures])
    return Figures([groups[places]], [names[place] for place in places], values)


def ratios(figures: Figures, variant: str) -> list[dict[str, Any]]:
    """Returns recall@1 of a variant divided by that of every other row, with intervals."""
    if not figures.entities:
        return []
    means, main_row, found = Means(figures, 0), Row(variant, AT_POINT), []
    for row in (one for one in figures.values if one != main_row):
        (mean, drawn), (other, others) = means.of(main_row), means.of(row)
        if other[0] > 0 and bool((others[:, 0] > 0).all()):
            name = {"model": RANDOM, "reading": ""} if row is None else row._asdict()
            found.append({**name, **rounded(float(mean[0] / other[0]), drawn[:, 0] / others[:, 0])})
    return found


def _cell(line: Mapping[str, str]) -> Cell:
    return Cell(line["search"], line["scope"])


def _group(tile: str) -> int:
    """Returns a number of the zoom-14 tile that contains a tile."""
    z, x, y = parse_tile(tile)
    return (x >> (z - 14) << 32) + (y >> (z - 14))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument(
        "--region", action="append", help="region to train on; repeatable; default: `demo`, which is made"
    )
    parser.add_argument("--test-region", action="append", default=[], help="region to test that training does not see")
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS), help="can be repeated")
    parser.add_argument("--config", default="gair.yaml", help="configuration of all variants")
    parser.add_argument("--set", action="append", default=[], help="setting to replace in all variants")
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--leave-out", choices=(FOLDS, "splits"), default=FOLDS, help="what training leaves out")
    parser.add_argument("--parts", type=int, default=5, help="number of folds or splits")
    parser.add_argument("--tiles", type=int, default=1000, help="maximum number of tested tiles of a part")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write the result to as well")
    options = parser.parse_args(arguments)
    options.variant = options.variant or list(DEFAULT)
    options.region = options.region or [NAME]
    return options


if __name__ == "__main__":
    main()
