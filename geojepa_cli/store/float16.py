"""Float16 columns with the output of a frozen encoder: written in batches, and checked to be finite."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, write_text

Float16 = npt.NDArray[np.float16]

_EXPONENT = np.uint16(0x7C00)  # exponent bits; infinity and NaN have all of them


def expected_column(name: str, axes: int) -> Expected:
    """Returns the schema, column and attributes that a file from `write_column` must have.

    Args:
        name: name of the column.
        axes: number of axes of the column.
    """
    attributes = {"encoder": str, "encoder_version": str}
    return Expected(schema.VERSION, {name: ColumnSpec(("<f2",), (None,) * axes)}, attributes)


def check_finite(path: Path, name: str, column: Float16, rows: int) -> None:
    """Checks a column for infinity and NaN.

    Args:
        path: path of the file, for the error message.
        name: name of the column, for the error message.
        column: values to check.
        rows: number of rows that are in memory at a time.

    Raises:
        DataError: a value is not finite.
    """
    for first in range(0, len(column), rows):
        bits = column[first : first + rows].view(np.uint16)
        if bool(((bits & _EXPONENT) == _EXPONENT).any()):
            raise DataError(f"`{path}` is damaged: column `{name}` has values that are not finite", VERIFY)


def write_column(
    path: Path,
    name: str,
    shape: tuple[int, ...],
    encoder: tuple[str, str],
    batches: Iterable[npt.NDArray[Any]],
    overflow: DataError,
) -> None:
    """Writes an HDF5 file with one column. Only one batch is in memory at a time.

    The column is contiguous and aligned, so that it can be memory-mapped. It has no timestamp, so that the same values
    always give the same bytes.

    Args:
        path: file to write.
        name: name of the column.
        shape: shape of the column.
        encoder: name and version of the encoder.
        batches: consecutive rows of the column, of any float type.
        overflow: error to raise if float16 cannot represent a value.

    Raises:
        DataError: float16 cannot represent a value.
        ValueError: the batches have another number of rows than the column.
    """
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "encoder", encoder[0])
        write_text(file, "encoder_version", encoder[1])
        column = file.create_dataset(name, shape, np.float16, track_times=False)
        row = 0
        for batch in batches:
            with np.errstate(over="ignore"):
                values = batch.astype(np.float16)
            if not np.isfinite(values).all():
                raise overflow
            column[row : row + len(values)] = values
            row += len(values)
        if row != shape[0]:
            raise ValueError(f"{row} rows for column `{name}`, expected {shape[0]}")
