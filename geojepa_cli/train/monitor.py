"""Figures that tell without labels whether the vectors collapse, and the log of a run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.metrics.rankme import rankme
from geojepa_cli.models.jepa.encoder import TileEncoder
from geojepa_cli.nn.tokens.tokenizer import TileTensors

MAX_RANK_ROWS = 4096


@torch.no_grad()
def collapse_figures(encoder: TileEncoder, batch: TileTensors, tag_table: Tensor) -> dict[str, float]:
    """Effective ranks and spreads of what the target encoder says of some tiles.

    Returns:
        `rankme_tiles`, `rankme_tokens`: effective ranks of tile and entity vectors, centred (a mean that all share
        would pass for a direction); `std_tiles`, `std_tokens`: mean standard deviation of a dimension;
        `similarity_tokens`: mean cosine of an entity's vector and the mean vector, 1 where all are alike.
    """
    found = encoder(batch, tag_table)
    tiles, tokens = found.tiles.float(), found.entities.float()[:MAX_RANK_ROWS]
    towards_mean = F.cosine_similarity(tokens, tokens.mean(0, keepdim=True))
    return {
        "rankme_tiles": _rank(tiles),
        "rankme_tokens": _rank(tokens),
        "std_tiles": float(tiles.std(0).mean()) if len(tiles) > 1 else 0.0,
        "std_tokens": float(tokens.std(0).mean()) if len(tokens) > 1 else 0.0,
        "similarity_tokens": float(towards_mean.mean()),
    }


def _rank(x: Tensor) -> float:
    centred = x - x.mean(0)
    return rankme(centred) if bool(centred.abs().max() > 0) else 1.0


class Means:
    """Means of the loss's parts over the steps since the last line of the log; can be saved and taken up again."""

    def __init__(self, totals: dict[str, float] | None = None, count: int = 0) -> None:
        self.totals: dict[str, float] = dict(totals or {})
        self.count = count

    def add(self, parts: dict[str, float]) -> None:
        """Adds a step."""
        for name, value in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means, and a new start."""
        means = {name: total / max(self.count, 1) for name, total in self.totals.items()}
        self.totals, self.count = {}, 0
        return means


class MetricsLog:
    """`metrics.jsonl`, one JSON object a line, without times: the same run writes the same bytes.

    Args:
        path: the file; what lies beyond `keep` bytes is of a run that was killed after its checkpoint, and is cut.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        path.touch()
        if path.stat().st_size < keep:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, its checkpoint knows of {keep}")
        os.truncate(path, keep)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line; numbers to six digits."""
        rounded = {name: _six_digits(value) for name, value in line.items()}
        self._file.write(json.dumps(rounded, allow_nan=False) + "\n")

    def flush(self) -> int:
        """Makes all lines durable; the size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Ends the log."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _six_digits(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
