"""Chunks of an embedding run: the columns of some consecutive tiles, one safetensors file each.

A run that was stopped resumes after its last whole chunk. Safetensors cannot hold objects, and its reader compares the
declared sizes with the size of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from geojepa_cli.errors import DataError
from geojepa_cli.store.columns import Array
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.embeddings import COLUMNS, VECTORS
from geojepa_cli.workspace.durable import fsync

Columns = Mapping[str, Array]
_UNREADABLE = (OSError, SafetensorError, KeyError, TypeError, ValueError)


class ChunkFiles(Sequence[Columns]):
    """The chunks of a folder; each is read when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        """Returns the columns of a chunk.

        Raises:
            DataError: it cannot be read any more.
        """
        if not 0 <= number < self._count:
            raise IndexError(number)
        path = self._path(number)
        try:
            with safe_open(path, framework="np") as file:
                return {name: file.get_tensor(name) for name in COLUMNS}
        except _UNREADABLE as error:
            raise DataError(f"`{path}` cannot be read: {error}") from error

    def take(self, tiles: Rows) -> bool:
        """Takes the next chunk from an earlier run if it is whole and has these tiles; returns whether it is."""
        found = _is_whole(self._path(self._count), tiles)
        self._count += found
        return found

    def append(self, columns: Columns) -> None:
        """Writes the next chunk. It gets its name last, so a chunk with a name is whole."""
        path = self._path(self._count)
        partial = path.with_suffix(".partial")
        save_file({name: np.ascontiguousarray(columns[name]) for name in COLUMNS}, partial)
        fsync(partial)
        partial.replace(path)
        self._count += 1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.safetensors"


def _is_whole(path: Path, tiles: Rows) -> bool:
    try:
        with safe_open(path, framework="np") as file:
            if set(file.keys()) != set(COLUMNS) or not np.array_equal(file.get_tensor("tile/row"), tiles):
                return False
            lengths = {"tile": len(tiles), "entity": int(file.get_tensor("entity/cu_seqlens")[-1])}
            for name, dtype in COLUMNS.items():
                part = file.get_slice(name)
                rows = len(tiles) + 1 if name == "entity/cu_seqlens" else lengths[name.partition("/")[0]]
                shape = part.get_shape()
                if shape[0] != rows or len(shape) != (2 if name in VECTORS else 1):
                    return False
                if part[:0].dtype != np.dtype(dtype):
                    return False
    except (*_UNREADABLE, IndexError):
        return False
    return True
