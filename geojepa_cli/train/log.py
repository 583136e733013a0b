"""Training log `metrics.jsonl`."""

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
    """Mean of each loss part over the steps since the last line of the log.

    Attributes:
        totals: sum of each loss part. Saved in checkpoints.
        count: number of steps in these sums. Saved in checkpoints.
    """

    def __init__(self, totals: dict[str, float] | None = None, count: int = 0) -> None:
        self.totals: dict[str, float] = dict(totals or {})
        self.count = count

    def add(self, parts: dict[str, float]) -> None:
        """Adds the loss parts of one step."""
        for name, value in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """Returns the means and resets the sums."""
        means = {name: total / max(self.count, 1) for name, total in self.totals.items()}
        self.totals, self.count = {}, 0
        return means


class MetricsLog:
    """Writer of the training log in JSON lines. It has no timestamps, so the same run writes the same bytes.

    Args:
        path: path of the log file.
        keep: number of bytes to keep. A run that was killed wrote more after its last checkpoint; this is removed.

    Raises:
        DataError: the file has fewer than `keep` bytes.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        path.touch()
        if path.stat().st_size < keep:
            message = f"`{path}` has {path.stat().st_size:,} bytes, its checkpoint expects {keep:,}"
            raise DataError(message, hints.again(no_resume=True))
        os.truncate(path, keep)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line. Numbers are rounded to six significant digits."""
        rounded = {name: _round(value) for name, value in line.items()}
        self._file.write(json.dumps(rounded, allow_nan=False) + "\n")

    def flush(self) -> int:
        """Syncs all lines to disk and returns the file size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Closes the log file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns all lines of a `metrics.jsonl` file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _round(value: Any) -> Any:
    """Rounds a float to six significant digits. Returns None if it is not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
