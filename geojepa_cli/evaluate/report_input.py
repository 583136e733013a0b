"""The part of a probe's `report.json` that `geojepa report` reads, and the check of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Interval(_Strict):
    value: float
    low: float
    high: float


class _Score(_Strict):
    model: str
    head: str
    mae: _Interval
    relative: float | None
    protocol: str
    seeds: int
    ref: str | None = None
    mae_unthinned: float | None = None
    auroc: float | None = None
    average_precision: float | None = None
    r2: float | None = None
    spearman: float | None = None
    spread: dict[str, float] = {}
    parts: dict[str, float | None] | None = None


class _Probe(_Strict):
    """The entries of a probe's `report.json` that the tables use."""

    task: str
    title: str = ""
    unit: str = ""
    evaluation: str
    evaluation_description: str
    masked: bool
    fold: int | None = None
    random: bool = False
    buffer: bool = False
    groups: int = 0
    tiles: int = 0
    regions: list[str]
    scores: list[_Score]


def check_probe(report: object) -> str | None:
    """Checks the content of a probe's `report.json`. Returns a description of the first fault, or None."""
    try:
        scores = _Probe.model_validate(report).scores
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    if not any((score.model, score.head) == (DUMMY, DUMMY_HEAD) for score in scores):
        return "scores: no score of Dummy"
    return None


def row_name(score: Mapping[str, Any]) -> str:
    """Returns the name of the row of a score, such as `tiny (linear)`."""
    return f"{score['model']} ({score['head']})"
