"""Training log: the file `metrics.jsonl` with losses and other metrics of a run, one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.train.tensorboard import Board


class Means:
    """Computes the mean of each loss term over the steps between two lines of the training log.

    The sums stay on the device of the terms, so that adding a step does not wait for a GPU.

    Args:
        totals: sums from the checkpoint of an interrupted run.
        count: number of steps in `totals`.
        ranks: processes of the run. Each process adds the terms of its own batches.

    Attributes:
        count: number of steps since the last line of the training log.
    """

    def __init__(
        self,
        totals: Mapping[str, float] | None = None,
        count: int = 0,
        ranks: Ranks = Ranks.alone(),
    ) -> None:
        self._totals: dict[str, Tensor | float] = dict(totals or {}) if ranks.leads else {}
        self._ranks = ranks
        self.count = count

    def totals(self) -> dict[str, float]:
        """Returns the sum of each loss term over all processes and all steps since the last line of the log."""
        return self._ranks.sum_terms({name: float(total) for name, total in self._totals.items()})

    def add(self, parts: Mapping[str, Tensor]) -> None:
        """Adds the loss terms of one step. All are scalars."""
        for name, value in parts.items():
            self._totals[name] = value.double() + self._totals.get(name, 0.0)
        self.count += 1

    def take(self) -> dict[str, float]:
        """Returns the mean of each loss term, and resets all sums to zero."""
        means = {name: total / max(self.count, 1) for name, total in self.totals().items()}
        self._totals, self.count = {}, 0
        return means


class MetricsLog:
    """Writes the training log. Lines have no timestamps, so a repeated run writes the same bytes.

    Args:
        path: path of the log file. New lines are appended to an existing file.
        keep: number of bytes of an existing file to keep. The bytes after them are deleted: an interrupted run wrote
            them after its last checkpoint, and the resumed run writes these lines again.
        board: TensorBoard files to write the same lines to, or None.

    Raises:
        DataError: the existing file has fewer than `keep` bytes.
    """

    def __init__(self, path: Path, keep: int = 0, board: Board | None = None) -> None:
        path.touch()
        if path.stat().st_size < keep:
            message = f"`{path}` has {path.stat().st_size:,} bytes, its checkpoint expects at least {keep:,}"
            raise DataError(message, hints.again(no_resume=True))
        os.truncate(path, keep)
        self._file = path.open("a", encoding="utf-8")
        self._board = board

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line to the log. Numbers are rounded to six significant digits."""
        rounded = {name: _round(value) for name, value in line.items()}
        self._file.write(json.dumps(rounded, allow_nan=False) + "\n")
        if self._board is not None:
            self._board.write(rounded)

    def flush(self) -> int:
        """Writes all pending lines to disk. Returns the size of the log file in bytes."""
        self._file.flush()
        if self._board is not None:
            self._board.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Closes the log file."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads a `metrics.jsonl` file. Returns one dict per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _round(value: Any) -> Any:
    """Rounds a float to six significant digits. Returns None for infinity and NaN, which JSON does not allow."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
