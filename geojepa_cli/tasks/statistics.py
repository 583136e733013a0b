"""What a task's tiles hold: entities per tile, the commonest tags, histograms of labels; plain JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.tokens import RegionTokens

# Upper bounds of a histogram's bins; the last is open.
BINS: dict[str, tuple[float, ...]] = {
    "count": (0, 1, 2, 5, 10, 20, 50, 100, 200),
    "any": (0, 1),
    "max": (0, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110),
    "sum": (0, 100, 1_000, 10_000, 30_000, 100_000, 200_000),
}
ENTITY_BINS = (5, 10, 20, 50, 100, 200, 500, 1000)
SHOWN_TAGS = 10


def label_histogram(labels: NDArray[np.float32], spec: TaskSpec) -> dict[str, Any]:
    """Tiles, mean, median, and tiles by bin `[label up to, tiles]` (`null`: everything above).

    A label below all others that stands for tiles without what is asked for (`absent`) has a bin of its own.
    """
    bins, absent = BINS[spec.label.kind], spec.label.absent
    if absent is not None and absent < bins[0]:
        bins = (absent, *bins)
    return summary(labels.astype(np.float64), bins)


def entities_per_tile(tokens: RegionTokens, tiles: Flags) -> dict[str, Any]:
    """Tiles by their number of entities, with the fewest and the most."""
    counts = np.bincount(tokens.tiles, minlength=tokens.n_tiles)[tiles].astype(np.float64)
    ends = {"fewest": int(counts.min()), "most": int(counts.max())} if len(counts) else {"fewest": None, "most": None}
    return {**summary(counts, ENTITY_BINS), **ends}


def commonest_tags(tokens: RegionTokens, tiles: Flags, top: int = SHOWN_TAGS) -> list[dict[str, Any]]:
    """The tags that most entities of some tiles have, with entities (counted in every tile) and tiles."""
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
    """How many values there are, mean, median, and how many by bin `[up to, tiles]` (`null`: everything above)."""
    counts = np.bincount(np.searchsorted(bins, values, side="left"), minlength=len(bins) + 1).tolist()
    return {
        "tiles": len(values),
        "mean": round(float(values.mean()), 4) if len(values) else None,
        "median": round(float(np.median(values)), 4) if len(values) else None,
        "histogram": [[bound, count] for bound, count in zip((*bins, None), counts, strict=True)],
    }
