"""Statistics of a task's tiles for `report.json`: entities per tile, most common tags, histograms of labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.tokens import RegionTokens

Histogram = Sequence[Sequence[float | None]]  # [upper bound, number of tiles] of each bin; None: no upper bound

# upper bounds of a histogram's bins by kind of label; a last bin without an upper bound follows
BINS: dict[str, tuple[float, ...]] = {
    "count": (0, 1, 2, 5, 10, 20, 50, 100, 200),
    "any": (0, 1),
    "max": (0, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110),
    "sum": (0, 100, 1_000, 10_000, 30_000, 100_000, 200_000),
}
ENTITY_BINS = (5, 10, 20, 50, 100, 200, 500, 1000)
SHOWN_TAGS = 10


def label_histogram(labels: NDArray[np.float32], spec: TaskSpec) -> dict[str, Any]:
    """Returns the number, mean, median and histogram of the labels, as a dict for JSON (see `summary`).

    A tile without the entities that `spec.label.requires` demands has the label `spec.label.absent`. If this label is
    below all bins, an extra bin is added for it.
    """
    bins = BINS[spec.label.kind] if spec.label.file is None else spec.label.file.bins
    absent = spec.label.absent
    if absent is not None and absent < bins[0]:
        bins = (absent, *bins)
    return summary(labels.astype(np.float64), bins)


def entities_per_tile(tokens: RegionTokens, tiles: Flags) -> dict[str, Any]:
    """Returns mean, median, histogram, minimum and maximum of the number of entities in a tile."""
    counts = np.bincount(tokens.tiles, minlength=tokens.n_tiles)[tiles].astype(np.float64)
    ends = {"fewest": int(counts.min()), "most": int(counts.max())} if len(counts) else {"fewest": None, "most": None}
    return {**summary(counts, ENTITY_BINS), **ends}


def commonest_tags(tokens: RegionTokens, tiles: Flags, top: int = SHOWN_TAGS) -> list[dict[str, Any]]:
    """Returns the most common tags in the given tiles, with the numbers of entities and of tiles that have each tag.

    An OSM element that lies in several tiles counts as one entity in each tile.
    """
    of_token, rows = tokens.entries
    inside = tiles[tokens.tiles][of_token]
    of_token, rows = of_token[inside], rows[inside]
    entities = np.bincount(rows, minlength=len(tokens.vocabulary))
    found = []
    for row in np.argsort(-entities, kind="stable")[:top].tolist():
        if entities[row]:
            where = tokens.tiles[of_token[rows == row]]  # ascending
            n_tiles = 1 + int(np.count_nonzero(np.diff(where)))
            found.append({"tag": tokens.vocabulary.text(row), "entities": int(entities[row]), "tiles": n_tiles})
    return found


def summary(values: NDArray[np.float64], bins: tuple[float, ...]) -> dict[str, Any]:
    """Returns the number of values and their mean, median and histogram, as a dict for JSON. Each tile has one value.

    The histogram is a list of bins `[upper bound, number of tiles]`. The last bin has no upper bound (None).
    """
    counts = np.bincount(np.searchsorted(bins, values, side="left"), minlength=len(bins) + 1).tolist()
    return {
        "tiles": len(values),
        "mean": round(float(values.mean()), 4) if len(values) else None,
        "median": round(float(np.median(values)), 4) if len(values) else None,
        "histogram": [[bound, count] for bound, count in zip((*bins, None), counts, strict=True)],
    }


def add_histograms(histograms: Iterable[Histogram]) -> dict[float | None, int]:
    """Adds histograms with the same bins. Returns the total number of tiles in each bin, by upper bound of the bin."""
    total: dict[float | None, int] = {}
    for histogram in histograms:
        for bound, count in histogram:
            total[bound] = total.get(bound, 0) + int(count or 0)
    return total
