"""`labels.h5`: reads and writes the label and the split of every tile of a region, for one task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, Array, ColumnSpec, Expected, read_columns, write_packed, write_text

# column -> its type, and the number of its values if it is an enumeration
_COLUMNS = {
    "label": ("<f4", None),
    "eligible": ("<u1", 2),
    "kept": ("<u1", 2),
    "split": ("<u1", 4),
    "fold": ("<u1", None),
}


def write_labels(path: Path, attributes: Mapping[str, Any], columns: Mapping[str, Array]) -> None:
    """Writes the labels and splits of a region's tiles for one task to `labels.h5`.

    Args:
        path: file to write.
        attributes: attributes of the file, by name:
            `task`: name of the task.
            `seed`: random seed.
            `split`: `group` if all tiles inside the same zoom-14 tile are in the same split; `random` if each tile is
            assigned to a split independently of the other tiles.
            `buffer`: 1 if there is a buffer around the test set, else 0. The buffer consists of the zoom-14 tiles next
            to zoom-14 tiles of the test set. Tiles in the buffer are used neither for training nor for validation.
        columns: columns with one row per tile of `processed.h5`, by name:
            `label`: float32, NaN if the tile has no label.
            `eligible`: bool, True if the tile has a label and was not excluded by an option of `build-tasks` such as
            `--min-entities`.
            `kept`: bool, True if the tile is eligible and was not removed by thinning. Thinning removes
            tiles with label 0, to reduce their number.
            `split`: uint8, 0 train, 1 val, 2 test, 3 buffer (not used).
            `fold`: uint8, number of the cross-validation fold; only if the task has folds.
    """
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        for name, value in {"kind": "labels", **attributes}.items():
            if isinstance(value, str):
                write_text(file, name, value)
            else:
                file.attrs[name] = value
        for name, values in columns.items():
            write_packed(file, name, values.astype(np.uint8) if values.dtype == np.bool_ else values)


def read_labels(path: Path, n_tiles: int, folds: int, hint: Hint | None) -> dict[str, Array]:
    """Reads the columns of a `labels.h5` by name. Each column is an array [n_tiles].

    Args:
        path: path of the `labels.h5`.
        n_tiles: number of tiles of the region.
        folds: number of cross-validation folds of the task; 0 for a task without folds.
        hint: command that makes the file again, for error messages.

    Raises:
        DataError: the file is unreadable or damaged, or was made for a region with another number of tiles.
    """
    specs = {name: ColumnSpec((dtype,), (n_tiles,)) for name, (dtype, _) in _COLUMNS.items() if folds or name != "fold"}
    columns, _ = read_columns(path, Expected(schema.VERSION, specs), hint)
    for name, values in columns.items():
        limit = folds if name == "fold" else _COLUMNS[name][1]
        if limit is not None and len(values) and int(values.max()) >= limit:
            raise DataError(f"`{path}` is damaged: column `{name}` has values above {limit - 1}", VERIFY)
    if np.isinf(columns["label"]).any():
        raise DataError(f"`{path}` is damaged: column `label` has infinite values", VERIFY)
    return columns
