"""`predictions.csv`: what every head said of every tested tile."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.probe import ProbeData, ProbeResult
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.splits import PARTS


def write_predictions(
    path: Path, store: TileStore, rows: NDArray[np.int64], data: ProbeData, result: ProbeResult
) -> None:
    """One line per tested tile, in the order of the store.

    Args:
        path: file to write.
        store: names the tiles.
        rows: of the probed tiles, in the store.
        data, result: of the probe.
    """
    tested = np.flatnonzero(result.fold >= 0)
    names, groups = store.tile_names(rows[tested]), store.group_names(rows[tested])
    regions = [store.regions[index].name for index in store.tile_regions(rows[tested]).tolist()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = [f"{model}_{head}" for model, head in result.predictions]
        writer.writerow(["tile", "region", "group", "split", "kept", "fold", "label", *heads])
        for place, row in enumerate(tested.tolist()):
            said = [f"{values[row]:.6g}" for values in result.predictions.values()]
            about = [names[place], regions[place], groups[place], PARTS[data.split[row]], int(data.kept[row])]
            writer.writerow([*about, int(result.fold[row]), f"{data.labels[row]:.6g}", *said])
