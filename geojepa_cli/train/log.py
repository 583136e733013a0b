"""Training log: the file `metrics.jsonl` with losses and other metrics of a run, one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.train.tensorboard import Board

METRICS = "metrics.jsonl"


class Means:
    """Averages each loss term over the steps between two lines of the training log.

    Attributes:
        totals: sum of each loss term since the last line. Checkpoints contain it.
        count: number of steps in `totals`. Checkpoints contain it.
    """

    def __init__(self, totals: dict[str, float] | None = None, count: int = 0) -> None:
        self.totals: dict[str, float] = dict(totals or {})
        self.count = count

    def add(self, parts: dict[str, float]) -> None:
        """Adds the loss terms of one step."""
        for name, value in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """Returns the mean of each loss term, and resets all sums to zero."""
        means = {name: total / max(self.count, 1) for name, total in self.totals.items()}
        self.totals, self.count = {}, 0
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
