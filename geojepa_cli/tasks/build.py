"""Builds one task for one region: writes labels, splits, hidden entities and tags, and a report into a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.store.label_file import write_labels
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import Bounds, View
from geojepa_cli.store.view_file import save_views
from geojepa_cli.tasks.cooccurrence import Measure, strongest_tags
from geojepa_cli.tasks.dataset import LABELS, SPEC, VIEWS
from geojepa_cli.tasks.labels import Labels, label_tiles
from geojepa_cli.tasks.leakage import leakage, sides_of_folds, sides_of_split
from geojepa_cli.tasks.masks import masked_tags, masked_view, plain_view
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.splits import (
    BUFFER,
    PARTS,
    RANDOM_SPLIT,
    SPLITS,
    PartNumbers,
    SplitRule,
    empty_parts,
    few_groups,
    groups_in,
    split_groups,
    survives_thinning,
    with_buffer,
)
from geojepa_cli.tasks.statistics import commonest_tags, entities_per_tile, label_histogram
from geojepa_cli.tasks.tokens import RegionTokens

REPORT = "report.json"
SHOWN_TAGS = 10


@dataclass(frozen=True)
class RegionData:
    """An opened region, from which several tasks can be built.

    Attributes:
        store: dataset with this region only.
        tokens: tokens (entities that are model inputs) of the region.
        base: selection of tiles, entities and tags. It contains neither the tiles that an option such as
            `--min-entities` excludes, nor parts of OSM elements that are not tokens, such as those of a boundary.
    """

    store: TileStore
    tokens: RegionTokens
    base: View

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        min_entities: int = DEFAULT_LIMITS.low,
        max_entities: int = DEFAULT_LIMITS.high,
        bbox: Bounds | None = None,
        images: Path | None = None,
    ) -> RegionData:
        """Opens a `processed.h5` file and selects its tiles.

        Args:
            path: path of the `processed.h5`.
            name: name of the region.
            min_entities, max_entities: tiles with fewer or more entities are left out.
            bbox: bounding box (west, south, east, north) in degrees; tiles outside are left out. Default: no box.
            images: path of an `images.h5`; tiles without an image in this file are left out. Default: no file.
        """
        store = TileStore.open([path], None if images is None else [images], names=[name])
        base = View.default(store, min_entities, max_entities, imagery_only=images is not None, bbox=bbox)
        return cls(store, RegionTokens(store.regions[0]), base)

    @cached_property
    def names(self) -> list[str]:
        """Name of every tile, such as `16_18052_25957`."""
        return self.store.tile_names()


@dataclass(frozen=True)
class TaskColumns:
    """Label, split and fold of every tile: the columns of `labels.h5`. `fold` is None if the task has no folds."""

    labels: Labels
    eligible: Flags
    kept: Flags
    split: PartNumbers
    fold: PartNumbers | None = None


def task_columns(data: RegionData, spec: TaskSpec, rule: SplitRule, labels: Labels | None = None) -> TaskColumns:
    """Computes the columns of `labels.h5` for a task.

    An eligible tile has a label and was not excluded by an option of `build-tasks` such as `--min-entities`. Kept
    tiles are the eligible tiles without those with label 0 that were removed to reduce their number (thinning).

    Args:
        data: opened region.
        spec: definition of the task.
        rule: rule that assigns tiles to splits.
        labels: labels from a file. None: computed from the tags of the region.
    """
    labels = label_tiles(data.tokens, spec.label) if labels is None else labels
    within = np.zeros(data.store.n_tiles, np.bool_)
    within[data.base.tiles] = True
    eligible = within & ~np.isnan(labels.values)
    kept = eligible.copy()
    zeros = np.flatnonzero(eligible & (labels.values == 0))
    kept[zeros] = survives_thinning(data.store.tile_names(zeros), spec.keep_zero, spec.name, rule.seed)
    names = data.names if rule.by == "random" else []
    groups = data.store.groups
    return TaskColumns(labels, eligible, kept, rule.splits(groups, names), rule.fold_numbers(groups, names))


def write_task(
    data: RegionData, spec: TaskSpec, rule: SplitRule, folder: Path, labels: Labels | None = None
) -> dict[str, Any]:
    """Writes `labels.h5`, `views.h5`, `task.yaml` and `report.json` to a folder. Returns the content of the report.

    The arguments are those of `task_columns`.
    """
    columns = task_columns(data, spec, rule, labels)
    plain = plain_view(data.store, columns.eligible, data.base)
    masked = masked_view(data.tokens, spec, plain)
    report = make_report(data, spec, rule, columns, masked)
    stored = {"label": columns.labels.values, "eligible": columns.eligible, "kept": columns.kept}
    stored |= {"split": columns.split} | ({} if columns.fold is None else {"fold": columns.fold})
    attributes: dict[str, str | np.integer] = {"task": spec.name, "seed": np.int64(rule.seed), "split": rule.by}
    attributes["buffer"] = np.uint8(rule.buffer)
    write_labels(folder / LABELS, attributes, stored)
    save_views(folder / VIEWS, plain, masked)
    (folder / SPEC).write_text(spec.to_yaml(), encoding="utf-8")
    (folder / REPORT).write_text(_one_line_per_entry(report), encoding="utf-8")
    return report


def make_report(
    data: RegionData, spec: TaskSpec, rule: SplitRule, columns: TaskColumns, masked: View
) -> dict[str, Any]:
    """Returns the content of `report.json`: counts, histograms of labels, hidden entities, and informative tags."""
    labels = columns.labels.values
    whole_test = labels[columns.eligible & (columns.split == SPLITS.index("test"))]
    kept = np.flatnonzero(columns.kept)
    measure: Measure = "auroc" if spec.binary else "spearman"
    strongest = strongest_tags(data.tokens, masked, kept, labels[kept].astype(np.float64), measure, SHOWN_TAGS)
    parts = _parts(data, spec, rule, columns)
    return {
        "task": spec.name,
        "unit": spec.label.unit,
        "seed": rule.seed,
        "split": rule.as_json(),
        "tiles": {
            "all": data.store.n_tiles,
            "within_limits": len(data.base.tiles),
            "eligible": int(columns.eligible.sum()),
            "kept": int(columns.kept.sum()),
            "label_0": int((columns.eligible & (labels == 0)).sum()),
            "label_0_kept": int((columns.kept & (labels == 0)).sum()),
        },
        **parts,
        "test_unthinned": label_histogram(whole_test, spec),
        "warnings": _warnings(rule, parts),
        "values": {"read": columns.labels.read, "unreadable": columns.labels.unread},
        **({"label_file": columns.labels.file} if columns.labels.file else {}),
        "mask": {
            "tags": int(masked_tags(data.tokens, spec).sum()),
            **{reason: count for reason, count in masked.counts.items() if "masked" in reason},
            "tiles emptied": _emptied(data.tokens, columns.eligible, masked),
        },
        "strongest": {"measure": measure, "tags": [indicator.as_json() for indicator in strongest]},
        "leakage": _leakage(data, rule, columns),
        "statistics": {
            "entities_per_tile": entities_per_tile(data.tokens, columns.eligible),
            "tags": commonest_tags(data.tokens, columns.eligible),
        },
        "views": {"masked": {reason: count for reason, count in masked.counts.items() if count}},
    }


def _emptied(tokens: RegionTokens, tiles: Flags, masked: View) -> int:
    """Counts the tiles in which the mask hides all entities."""
    shown = np.ones(tokens.region.n_pieces, np.bool_)
    shown[masked.dropped_pieces] = False
    left = np.bincount(tokens.tiles[shown[tokens.pieces]], minlength=tokens.n_tiles)
    return int((tiles & (left == 0)).sum())


def _one_line_per_entry(report: dict[str, Any]) -> str:
    """Returns JSON with one line per top-level entry, which is shorter than indented JSON and readable in a diff."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(',', ':'))}"
        for key, value in report.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _parts(data: RegionData, spec: TaskSpec, rule: SplitRule, columns: TaskColumns) -> dict[str, Any]:
    """Returns label histogram and number of groups (zoom-14 tiles) of each split, and of each fold if there are any."""
    labels, groups = columns.labels.values, data.store.groups

    def part(rows: Flags) -> dict[str, Any]:
        return {**label_histogram(labels[rows], spec), "groups": groups_in(groups, rows)}

    names = PARTS if rule.buffer else SPLITS
    found: dict[str, Any] = {
        "splits": {name: part(columns.kept & (columns.split == number)) for number, name in enumerate(names)}
    }
    if columns.fold is not None:
        found["folds"] = [part(columns.kept & (columns.fold == number)) for number in range(rule.folds or 0)]
    return found


def _warnings(rule: SplitRule, parts: dict[str, Any]) -> list[str]:
    """Returns warnings about the splits or folds of this region, such as splits without tiles."""
    found = [RANDOM_SPLIT] if rule.by == "random" else []
    if rule.folds is not None:
        counts = {f"fold {number}": part["tiles"] for number, part in enumerate(parts["folds"])}
        return [*found, *(f"no tile is in {name}" for name in empty_parts(counts))]
    found += [f"no tile is in {name}" for name in empty_parts({k: v["tiles"] for k, v in parts["splits"].items()})]
    return found + few_groups(parts["splits"]["test"]["groups"])


def _leakage(data: RegionData, rule: SplitRule, columns: TaskColumns) -> dict[str, Any]:
    """Counts the OSM elements that lie in both training and test tiles.

    For comparison, counts the elements for three splits: by zoom-14 tile (group), by group with a buffer (groups next
    to test groups are not used), and random. If the task has folds, also counts the elements for the folds.
    """
    kept, groups = columns.kept, data.store.groups
    by_group = split_groups(groups, rule.seed)
    by_tile = np.full(len(kept), BUFFER, np.uint8)
    rows = np.flatnonzero(kept)
    by_tile[rows] = SplitRule(rule.seed, "random").splits(groups[rows], data.store.tile_names(rows))
    found = {
        "group": leakage(data.tokens, sides_of_split(by_group, kept)),
        "group with buffer": leakage(data.tokens, sides_of_split(with_buffer(groups, by_group, rule.seed), kept)),
        "random": leakage(data.tokens, sides_of_split(by_tile, kept)),
    }
    if columns.fold is not None:
        found["folds"] = leakage(data.tokens, sides_of_folds(columns.fold, kept, groups, False))
        if rule.by == "group":
            found["folds with buffer"] = leakage(data.tokens, sides_of_folds(columns.fold, kept, groups, True))
    used = ("folds" if rule.folds else rule.by) + (" with buffer" if rule.buffer else "")
    return {"used": used, "splits": found}
