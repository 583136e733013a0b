"""Writes `predictions.csv` of an entity probe, and the content of its `report.json`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from geojepa_cli.evaluate.entity_probe import EntityResult
from geojepa_cli.evaluate.entity_tags import VisibleTags, informative_tags
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.entity_examples import EntityExamples

COLUMNS = ("entity", "tile", "region", "group", "visible_tags", "class")


def write_entity_predictions(
    path: Path, store: TileStore, examples: EntityExamples, tags: VisibleTags, result: EntityResult
) -> None:
    """Writes one line per tested entity. For every model: the predicted class, and the probability of the true class.

    With several seeds, these are the predictions with the first one.

    Args:
        path: file to write.
        store: dataset with the entities.
        examples: examples of the task.
        tags: visible tags of the examples.
        result: result of the probe.
    """
    names, groups = store.tile_names(examples.tiles), store.group_names(examples.tiles)
    refs = entity_refs(store, examples)
    visible = np.diff(tags.offsets)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = [f"{model}_{what}" for model in result.probabilities for what in ("class", "probability")]
        writer.writerow([*COLUMNS, *heads])
        for row in np.flatnonzero(result.tested).tolist():
            label, region = int(examples.labels[row]), store.regions[int(examples.regions[row])].name
            line: list[Any] = [refs[row], names[row], region, groups[row], int(visible[row]), examples.classes[label]]
            for found in (of_seeds[0] for of_seeds in result.probabilities.values()):
                line += [examples.classes[int(found[row].argmax())], f"{found[row, label]:.6g}"]
            writer.writerow(line)


def entity_refs(store: TileStore, examples: EntityExamples) -> list[str]:
    """Returns the type and id of the OSM element of each example, such as `way/123`."""
    refs = []
    for piece, index in zip(examples.pieces.tolist(), examples.regions.tolist(), strict=True):
        region = store.regions[index]
        row = int(region["piece/object"][piece - int(store.piece_offsets[index])])
        refs.append(f"{OSM_TYPES[int(region['object/osm_type'][row])]}/{int(region['object/osm_id'][row])}")
    return refs


def entity_report(
    store: TileStore,
    examples: EntityExamples,
    tags: VisibleTags,
    result: EntityResult,
    left_out: dict[str, dict[str, int]],
) -> dict[str, Any]:
    """Returns the part of `report.json` that the examples and the result give.

    Args:
        store: dataset with the entities.
        examples: examples of the task, of the classes with enough training examples.
        tags: visible tags of the examples.
        result: result of the probe.
        left_out: for each class that is left out because it is rare, the number of its examples, and of its entities
            before the limits.
    """
    tested = result.tested
    groups = len(np.unique(examples.groups[tested]))
    return {
        "title": examples.spec.title,
        "evaluation": result.evaluation,
        "evaluation_description": result.describe(groups),
        "groups": groups,
        "entities": int(tested.sum()),
        "entities_without_visible_tags": int(tags.bare[tested].sum()),
        "classes": [
            {
                "class": name,
                "entities_with_tag": int(examples.sizes[place]),
                "examples": int((examples.labels == place).sum()),
                "tested": int((examples.labels[tested] == place).sum()),
                "tested_groups": len(np.unique(examples.groups[tested & (examples.labels == place)])),
            }
            for place, name in enumerate(examples.classes)
        ],
        "rare_classes_left_out": left_out,
        "left_out": examples.counts,
        "scores": [score.to_json() for score in result.scores],
        "differences": [{"a": a, "b": b, **difference.to_json()} for (a, b), difference in result.differences.items()],
        "informative_tags": informative_tags(store, examples, tags),
    }
