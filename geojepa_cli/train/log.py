"""Log of a run, `metrics.jsonl`."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError

METRICS = "metrics.jsonl"


class Means:
    """Means of the loss's parts over the steps since the last line of the log.

    Attributes:
        totals, count: sums and number of steps so far; a checkpoint keeps them.
    """

    def __init__(self, totals: dict[str, float] | None = None, count: int = 0) -> None:
        self.totals: dict[str, float] = dict(totals or {})
        self.count = count

    def add(self, parts: dict[str, float]) -> None:
        """Adds a step."""
        for name, value in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """Returns the means and starts again."""
        means = {name: total / max(self.count, 1) for name, total in self.totals.items()}
        self.totals, self.count = {}, 0
        return means


class MetricsLog:
    """Writer of JSON lines without times: the same run writes the same bytes.

    Args:
        path: of the file.
        keep: bytes to keep. A run that was killed after its checkpoint wrote more, which is cut off.

    Raises:
        DataError: the file has fewer bytes.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        path.touch()
        if path.stat().st_size < keep:
            message = f"`{path}` has {path.stat().st_size:,} bytes, its checkpoint expects {keep:,}"
            raise DataError(message, hints.again(no_resume=True))
        os.truncate(path, keep)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line, with numbers to six digits."""
        rounded = {name: _round(value) for name, value in line.items()}
        self._file.write(json.dumps(rounded, allow_nan=False) + "\n")

    def flush(self) -> int:
        """Makes all lines durable and returns the size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads all lines of a `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _round(value: Any) -> Any:
    """Rounds to six digits; None for numbers that are not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
