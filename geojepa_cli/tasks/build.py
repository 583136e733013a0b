"""One task over one region: labels, split, both views and the report, written into a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import MAX_ENTITIES, MIN_ENTITIES, View
from geojepa_cli.tasks.cooccurrence import strongest_tags
from geojepa_cli.tasks.dataset import LABELS, MASKED, PLAIN, SPEC, write_labels
from geojepa_cli.tasks.labels import Labels, label_tiles
from geojepa_cli.tasks.masks import masked_tags, masked_view, plain_view
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.splits import SPLITS, Splits, check_splits, groups_per_split, split_groups, survives_thinning
from geojepa_cli.tasks.tokens import RegionTokens

REPORT = "report.json"
SHOWN_TAGS = 20
# Upper bounds of a histogram's bins; the last is open.
BINS = {
    "count": (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    "any": (0.0, 1.0),
    "max": (0.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 110.0),
    "sum": (0.0, 1e2, 1e3, 1e4, 3e4, 1e5, 2e5),
}


@dataclass(frozen=True)
class RegionData:
    """A region opened once for all its tasks.

    Attributes:
        store: the region alone.
        tokens: its tokens.
        base: tokens only, and tiles within the limits of entities.
    """

    store: TileStore
    tokens: RegionTokens
    base: View

    @classmethod
    def open(
        cls, path: Path, name: str, min_entities: int = MIN_ENTITIES, max_entities: int = MAX_ENTITIES
    ) -> RegionData:
        """Opens a `processed.h5`."""
        store = TileStore.open([path], names=[name])
        return cls(store, RegionTokens(store.regions[0]), View.default(store, min_entities, max_entities))


@dataclass(frozen=True)
class TaskColumns:
    """What `labels.h5` holds, one entry per tile."""

    labels: Labels
    eligible: Flags
    kept: Flags
    split: Splits


def task_columns(data: RegionData, spec: TaskSpec, seed: int) -> TaskColumns:
    """Labels of every tile, which tiles are eligible and kept, and their splits."""
    labels = label_tiles(data.tokens, spec.label)
    within = np.zeros(data.store.n_tiles, np.bool_)
    within[data.base.tiles] = True
    eligible = within & ~np.isnan(labels.values)
    kept = eligible.copy()
    zeros = np.flatnonzero(eligible & (labels.values == 0))
    kept[zeros] = survives_thinning(data.store.tile_names(zeros), spec.keep_zero, spec.name, seed)
    return TaskColumns(labels, eligible, kept, split_groups(data.store.groups, seed))


def write_task(data: RegionData, spec: TaskSpec, seed: int, folder: Path) -> dict[str, Any]:
    """Writes `labels.h5`, `view.h5`, `view_masked.h5`, `task.yaml` and `report.json`; returns the report."""
    columns = task_columns(data, spec, seed)
    plain = plain_view(data.store, columns.eligible, data.base)
    masked = masked_view(data.tokens, spec, plain)
    report = make_report(data, spec, columns, masked) | {"seed": seed}
    write_labels(
        folder / LABELS,
        spec.name,
        seed,
        label=columns.labels.values,
        eligible=columns.eligible,
        kept=columns.kept,
        split=columns.split,
        group=data.store.groups,
    )
    plain.save(folder / PLAIN)
    masked.save(folder / MASKED)
    (folder / SPEC).write_text(spec.to_yaml(), encoding="utf-8")
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    return report


def make_report(data: RegionData, spec: TaskSpec, columns: TaskColumns, masked: View) -> dict[str, Any]:
    """Counts, label histograms by split, what the mask takes and what it leaves; plain JSON values."""
    labels, groups = columns.labels.values, data.store.groups
    splits = {}
    for number, name in enumerate(SPLITS):
        in_split = columns.kept & (columns.split == number)
        splits[name] = {
            **_histogram(labels[in_split], spec),
            "groups": groups_per_split(columns.split, columns.kept, groups)[name],
        }
    whole_test = labels[columns.eligible & (columns.split == SPLITS.index("test"))]
    kept = np.flatnonzero(columns.kept)
    measure = "auroc" if spec.binary else "spearman"
    strongest = strongest_tags(
        data.tokens, masked, kept, labels[kept].astype(np.float64), "auroc" if spec.binary else "spearman", SHOWN_TAGS
    )
    return {
        "task": spec.name,
        "unit": spec.label.unit,
        "tiles": {
            "all": data.store.n_tiles,
            "within_limits": len(data.base.tiles),
            "eligible": int(columns.eligible.sum()),
            "kept": int(columns.kept.sum()),
            "label_0": int((columns.eligible & (labels == 0)).sum()),
            "label_0_kept": int((columns.kept & (labels == 0)).sum()),
        },
        "splits": splits,
        "test_unthinned": _histogram(whole_test, spec),
        "warnings": check_splits(columns.split, columns.kept, groups),
        "values": {"read": columns.labels.read, "unreadable": columns.labels.unread},
        "mask": {
            "tags": int(masked_tags(data.tokens, spec).sum()),
            **{reason: count for reason, count in masked.counts.items() if "masked" in reason},
        },
        "strongest": {"measure": measure, "tags": [indicator.as_json() for indicator in strongest]},
        "views": {"plain": dict(data.base.counts), "masked": dict(masked.counts)},
    }


def _histogram(labels: NDArray[np.float32], spec: TaskSpec) -> dict[str, Any]:
    """Tiles, mean, median, and tiles by bin `[label up to, tiles]` (`null`: everything above)."""
    bins = BINS[spec.label.kind]
    counts = np.bincount(np.searchsorted(bins, labels, side="left"), minlength=len(bins) + 1).tolist()
    return {
        "tiles": len(labels),
        "mean": round(float(labels.mean(dtype=np.float64)), 4) if len(labels) else None,
        "median": round(float(np.median(labels)), 4) if len(labels) else None,
        "histogram": [[bound, count] for bound, count in zip((*bins, None), counts, strict=True)],
    }
