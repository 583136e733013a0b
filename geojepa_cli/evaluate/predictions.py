"""Writes and reads `predictions.csv`, the predictions of every prediction head for every tested tile."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.folds import Floats, ProbeData
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.splits import PARTS

DUMMY, DUMMY_HEAD = "dummy", "median"  # always the first column of predictions
DUMMY_ROW = f"{DUMMY} ({DUMMY_HEAD})"  # its name in tables
COLUMNS = ("tile", "region", "group", "split", "kept", "fold", "label")
UNROUNDED = "{}_unrounded"  # name of a column with predictions before they were rounded to 0 or 1


@dataclass(frozen=True)
class Predictions:
    """Content of a `predictions.csv` with n tested tiles.

    Attributes:
        tested: columns `tile`, `region`, `fold`, `kept` and `label` of the file, as text [n, 5].
        groups: name of the zoom-14 tile that contains each tile, text [n].
        kept: False for tiles with label 0 that were removed to reduce their number (thinning), bool [n].
        labels: label of every tile, float64 [n].
        predicted: predictions of each head with s seeds; keys are (model, head), values float64 [s, n]. NaN for tiles
            about which a language model was not asked, or did not answer.
        unrounded: the same before predictions were rounded to 0 or 1. Equal to `predicted` if the file lacks them.
    """

    tested: NDArray[np.str_]
    groups: NDArray[np.str_]
    kept: NDArray[np.bool_]
    labels: Floats
    predicted: dict[tuple[str, str], Floats]
    unrounded: dict[tuple[str, str], Floats]


def write_predictions(
    path: Path,
    store: TileStore,
    rows: NDArray[np.int64],
    data: ProbeData,
    fold: NDArray[np.int64],
    predictions: Mapping[tuple[str, str], Floats],
    unrounded: Mapping[tuple[str, str], Floats],
) -> None:
    """Writes a `predictions.csv` with one line per tested tile, in the order of the dataset.

    Args:
        path: file to write.
        store: dataset that has the tiles.
        rows: index of each of the task's n tiles in the dataset, int64 [n].
        data: labels and splits of these tiles.
        fold: fold in which each tile was tested, int64 [n]; -1 for tiles that were not tested. Tiles that were not
            tested are not written.
        predictions: predictions of each head with s seeds; keys are (model, head), values float64 [s, n]. NaN for
            tiles for which a language model gave no answer; these cells are left empty.
        unrounded: the same before predictions were rounded to 0 or 1, for heads that round. Empty if no head rounds.
    """
    columns = _columns([(*key, len(values)) for key, values in predictions.items()])
    more = map(UNROUNDED.format, columns) if unrounded else ()
    tested = np.flatnonzero(fold >= 0)
    names, groups = store.tile_names(rows[tested]), store.group_names(rows[tested])
    regions = [store.regions[index].name for index in store.tile_regions(rows[tested]).tolist()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *columns, *more])
        table = np.concatenate(
            [*predictions.values(), *(unrounded.get(key, values) for key, values in predictions.items() if unrounded)]
        )
        for place, row in enumerate(tested.tolist()):
            values = ["" if value != value else f"{value:.6g}" for value in table[:, row].tolist()]
            tile = [names[place], regions[place], groups[place], PARTS[data.split[row]], int(data.kept[row])]
            writer.writerow([*tile, int(fold[row]), f"{data.labels[row]:.6g}", *values])


def read_predictions(path: Path, heads: Sequence[tuple[str, str, int]]) -> Predictions:
    """Reads a `predictions.csv` file.

    Args:
        path: path of the file.
        heads: (model, head, number of seeds) in the order of the columns. There is one column for each seed.

    Raises:
        ValueError: the file has unexpected columns, no rows, or values that are not finite numbers.
    """
    with path.open(newline="", encoding="utf-8") as file:
        try:
            header, *lines = csv.reader(file, strict=True)
        except csv.Error as error:
            raise ValueError(f"not CSV: {error}") from error
    predictions = _columns(heads)
    expected = [*COLUMNS, *predictions]
    twice = len(header) > len(expected)
    expected += map(UNROUNDED.format, predictions if twice else ())
    if header != expected:
        raise ValueError(f"expected the columns {expected}, got {header}")
    if not lines or any(len(line) != len(expected) for line in lines):
        raise ValueError(f"expected rows of {len(expected)} values")
    table = np.array(lines, np.str_)
    cells = table[:, len(COLUMNS) - 1 :]
    may_miss = np.array([False, *[head == ZERO_SHOT for _, head, seeds in heads for _ in range(seeds)] * (1 + twice)])
    missing = (cells == "") & may_miss
    numbers = np.where(missing, "nan", cells).astype(np.float64)
    if not (np.isfinite(numbers) | missing).all():
        raise ValueError("it has values that are not finite numbers")
    columns = {name: table[:, place] for place, name in enumerate(COLUMNS)}
    return Predictions(
        tested=np.stack([columns[name] for name in ("tile", "region", "fold", "kept", "label")], axis=1),
        groups=columns["group"],
        kept=columns["kept"] == "1",
        labels=numbers[:, 0],
        predicted=dict(_by_head(numbers[:, 1:].T, heads)),
        unrounded=dict(_by_head(numbers[:, -len(predictions) :].T, heads)),
    )


def _columns(heads: Sequence[tuple[str, str, int]]) -> list[str]:
    """Returns the names of the columns with predictions.

    The name is `MODEL_HEAD` for a head with one seed, and `MODEL_HEAD_0`, `MODEL_HEAD_1`, … for a head with several.
    """
    return [
        f"{model}_{head}" if seeds == 1 else f"{model}_{head}_{place}"
        for model, head, seeds in heads
        for place in range(seeds)
    ]


def _by_head(table: Floats, heads: Sequence[tuple[str, str, int]]) -> Iterator[tuple[tuple[str, str], Floats]]:
    first = 0
    for model, head, seeds in heads:
        yield (model, head), table[first : first + seeds]
        first += seeds
