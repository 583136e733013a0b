"""`labels.h5`: label, flags and split of every tile of a region, for one task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.store import schema

Array = NDArray[Any]


def write_labels(path: Path, attributes: Mapping[str, str | np.integer], columns: Mapping[str, Array]) -> None:
    """Writes `labels.h5`, with one row per tile of `processed.h5`; see docs/formats.md."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        for name, value in {"kind": "labels", **attributes}.items():
            # fixed length: a string of variable length costs a heap of 4 KB
            file.attrs[name] = np.bytes_(value) if isinstance(value, str) else value
        for name, values in columns.items():
            stored = values.astype(np.uint8) if values.dtype == np.bool_ else values
            packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "chunks": stored.shape}
            packed["shuffle"] = stored.itemsize > 1
            file.create_dataset(name, data=stored, **(packed if len(stored) else {}))


def read_labels(path: Path, n_tiles: int, folds: int, hint: Hint | None) -> dict[str, Array]:
    """Reads the columns of a `labels.h5`, each [n_tiles].

    Args:
        path: of the file.
        n_tiles: of the region.
        folds: number of folds; 0 for a task without folds.
        hint: the command that makes the file again.

    Raises:
        DataError: the file is unreadable, or was made for other data.
    """
    try:
        with h5py.File(path, "r") as file:
            columns = {name: file[name][...] for name in ("label", "eligible", "kept", "split")}
            columns |= {"fold": file["fold"][...]} if folds else {}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"`{path}` cannot be read: {error}", hints.run("artifacts", verify=True)) from error
    for name, column in columns.items():
        if column.shape != (n_tiles,):
            raise DataError(f"`{name}` of `{path}` has {len(column)} tiles, the region has {n_tiles}", hint)
    return columns
