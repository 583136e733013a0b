"""Analysis of a task over one or several regions: tags that give information about the label, and statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geojepa_cli.tasks.association import (
    Association,
    Occurrences,
    PairLifts,
    Pool,
    between,
    entropy_bits,
    pair_lifts,
    pool,
    within,
)
from geojepa_cli.tasks.build import RegionData, make_report, task_columns
from geojepa_cli.tasks.labels import counted_tokens
from geojepa_cli.tasks.masks import masked_tags, masked_view, plain_view
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.splits import SplitRule

LISTED = 50
IN_MAP = 12  # number of tags that the heat map takes from each list


@dataclass(frozen=True)
class Analysis:
    """Result of the analysis of a task.

    An entity counts for the label if the label of its tile is computed from this entity. For example, a bridge counts
    for the number of bridges.

    Attributes:
        within: tags that are associated with the entities that count for the label, most informative first.
        between: tags that are associated with tiles with a high label, most informative first. A label is high if it
            is above the median or equal to the maximum. Only tags of entities that do not count are considered.
        map_tags: tags to show in the heat map of co-occurrences, as pairs (tag, effect of the mask). The mask hides
            the tag on all entities (`hidden`), on some (`partly`) or on almost none (`left`). Hidden tags come first.
        lifts: for all pairs of `map_tags`: observed frequency of the pair, divided by the frequency expected by chance.
        reports: one report for each region, with the same content as the `report.json` of `build-tasks`.
        sizes: numbers of tiles, entities, and entities that count for the label, and the entropy of labels in bits.
    """

    within: list[Association]
    between: list[Association]
    map_tags: list[tuple[str, str]]
    lifts: PairLifts
    reports: list[dict[str, Any]]
    sizes: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns `sizes` and the first tags of `within` and `between` as a dict for JSON."""
        return {
            **self.sizes,
            "within": [found.as_json() for found in self.within[:LISTED]],
            "between": [found.as_json() for found in self.between[:LISTED]],
        }

    def save(self, path: Path) -> None:
        """Writes the content of `as_json` to a file."""
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")


def analyze(regions: Sequence[RegionData], spec: TaskSpec, rule: SplitRule) -> Analysis:
    """Analyses the tiles of a task in all regions together.

    Leaves out tiles with label 0 that were removed to reduce their number (thinning).

    Args:
        regions: regions to analyse.
        spec: definition of the task.
        rule: rule that assigns tiles to the splits train, validation and test. The reports have statistics of each
            split.
    """
    found, reports = [], []
    for data in regions:
        occurrences, report = _of_region(data, spec, rule)
        found.append(occurrences)
        reports.append(report)
    pooled = pool(found)
    inside, outside = (within(pooled), between(pooled)) if pooled.is_informative else ([], [])
    tags = _map_tags(inside, outside)
    lifts = pair_lifts(pooled, [tag for tag, _ in tags])
    return Analysis(inside, outside, tags, lifts, reports, _sizes(pooled, spec, regions))


def _of_region(data: RegionData, spec: TaskSpec, rule: SplitRule) -> tuple[Occurrences, dict[str, Any]]:
    columns = task_columns(data, spec, rule)
    masked = masked_view(data.tokens, spec, plain_view(data.store, columns.eligible, data.base))
    tiles = np.flatnonzero(columns.kept)
    shown = np.ones(data.tokens.region.n_pieces, np.bool_)
    shown[masked.dropped_pieces] = False
    occurrences = Occurrences(
        data.tokens,
        columns.labels.values[tiles].astype(np.float64),
        tiles,
        counted_tokens(data.tokens, spec.label),
        shown[data.tokens.pieces],
        masked_tags(data.tokens, spec),
    )
    return occurrences, make_report(data, spec, rule, columns, masked)


def _sizes(pooled: Pool, spec: TaskSpec, regions: Sequence[RegionData]) -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "task": spec.name,
        "regions": [region.name for data in regions for region in data.store.regions],
        "tiles": len(pooled.labels),
        "entities": len(pooled.counted),
        "entities_that_count": int(pooled.counted.sum()),
    }
    if not pooled.is_informative:
        return {**sizes, "high_above": None, "high_tiles": 0, "entropy_bits": None}
    return {
        **sizes,
        "high_above": round(float(pooled.labels[~pooled.high].max()), 4),
        "high_tiles": int(pooled.high.sum()),
        "entropy_bits": {
            "within": round(entropy_bits(pooled.counted), 6),
            "between": round(entropy_bits(pooled.classes), 6),
        },
    }


def _map_tags(inside: list[Association], outside: list[Association]) -> list[tuple[str, str]]:
    """Returns the tags to show in the heat map of co-occurrences, each with the effect of the task's mask on it.

    The most informative tags of `inside` and of `outside` are shown. The effect of the mask is `hidden` if it hides the
    tag everywhere, `partly` if it hides the tag on some entities, and `left` if it hides the tag almost nowhere. The
    returned tags are sorted in this order.

    Args:
        inside: associations of tags with the entities from which the label is computed, as returned by `within`.
        outside: associations with tiles with a high label, as returned by `between`.
    """
    states = {found.tag: found.mask for found in reversed([*outside, *inside])}
    chosen = dict.fromkeys(found.tag for found in [*inside[:IN_MAP], *outside[:IN_MAP]])
    order = ("hidden", "partly", "left")
    return sorted(((tag, states[tag]) for tag in chosen), key=lambda pair: order.index(pair[1]))
