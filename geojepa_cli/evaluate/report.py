"""All probes of a workspace in one table: errors by model and task, and a score over tasks beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from geojepa_cli.metrics.metrics import harmonic_score, relative_to_dummy

DUMMY = "dummy"


class _Interval(BaseModel):
    value: float
    low: float
    high: float


class _Figure(BaseModel):
    model: str
    head: str
    mae: _Interval
    relative: float | None


class _Probe(BaseModel):
    """What a table needs of a probe's report."""

    task: str
    stands_on: str
    masked: bool
    regions: list[str]
    figures: list[_Figure]


@dataclass
class ReportTable:
    """Probes that may be compared: of the same regions and the same variant, and not by a random split with others.

    Attributes:
        regions: artifacts that were probed, `name@id`.
        masked: which variant of the tasks.
        random: tiles were dealt one by one, so that the figures flatter.
        maes: task -> row -> MAE; a row is a model with one head, `tiny (linear)`.
        intervals: the same, (low, high).
        relative: the same, MAE / Dummy's.
        protocols: task -> what its figures stand on.
    """

    regions: tuple[str, ...]
    masked: bool
    random: bool = False
    maes: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    relative: dict[str, dict[str, float]] = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Such as `masked tasks of harrisburg, state-college`."""
        names = ", ".join(region.partition("@")[0] for region in self.regions)
        return f"{'masked' if self.masked else 'plain'} tasks of {names}{' (RANDOM SPLIT)' if self.random else ''}"

    @property
    def tasks(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self.maes)

    @property
    def complete_rows(self) -> list[str]:
        """The rows that have every task, best mean first: a score over fewer tasks would not be comparable."""
        rows = set.intersection(*(set(by_row) for by_row in self.maes.values()))
        return sorted(rows, key=lambda row: (self.score(row), row))

    @property
    def rows(self) -> list[str]:
        """All rows: the complete ones, then the others."""
        complete = self.complete_rows
        others = {row for by_row in self.maes.values() for row in by_row} - set(complete)
        return [*complete, *sorted(others)]

    def score(self, row: str) -> float:
        """Mean over tasks of MAE / Dummy's."""
        dummy = next(name for name in next(iter(self.maes.values())) if name.startswith(f"{DUMMY} "))
        mine = {task: self.maes[task][row] for task in self.tasks}
        if not any(self.maes[task][dummy] > 0 for task in self.tasks):
            return float("nan")
        return relative_to_dummy(mine, {task: self.maes[task][dummy] for task in self.tasks})

    def harmonic(self, row: str) -> float:
        """The thesis's score, relative to the best of this table on each task."""
        mine = {task: self.maes[task][row] for task in self.tasks}
        return harmonic_score(mine, {task: min(self.maes[task].values()) for task in self.tasks})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        complete = self.complete_rows
        return {
            "regions": list(self.regions),
            "masked": self.masked,
            "random": self.random,
            "protocols": self.protocols,
            "models": [
                {
                    "model": row,
                    "mae": {task: self.maes[task][row] for task in self.tasks if row in self.maes[task]},
                    "score": _finite(self.score(row)) if row in complete else None,
                    "harmonic": self.harmonic(row) if row in complete else None,
                }
                for row in self.rows
            ],
        }


def build_tables(probes: Iterable[Mapping[str, Any]]) -> list[ReportTable]:
    """Tables from the `report.json` of probes, oldest first: a newer probe of a model and task replaces an older.

    Args:
        probes: parsed reports.
    """
    tables: dict[tuple[tuple[str, ...], bool, bool], ReportTable] = {}
    for probe in probes:
        key = (tuple(sorted(probe["regions"])), bool(probe["masked"]), bool(probe.get("random")))
        table = tables.setdefault(key, ReportTable(*key))
        task = probe["task"]
        table.protocols[task] = probe["stands_on"]
        for figure in probe["figures"]:
            row = f"{figure['model']} ({figure['head']})"
            table.maes.setdefault(task, {})[row] = figure["mae"]["value"]
            table.intervals.setdefault(task, {})[row] = (figure["mae"]["low"], figure["mae"]["high"])
            if figure["relative"] is not None:
                table.relative.setdefault(task, {})[row] = figure["relative"]
    return [tables[key] for key in sorted(tables)]


def check_probe(report: object) -> str | None:
    """What is wrong with a probe's `report.json`, or None where a table can be made of it."""
    try:
        figures = _Probe.model_validate(report).figures
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return None if any(figure.model == DUMMY for figure in figures) else "figures: none of Dummy"


def to_markdown(tables: Iterable[ReportTable]) -> str:
    """The tables as a page: MAE with its 95 % interval, score and harmonic mean last."""
    lines = ["# Probes", ""]
    lines += [
        "MAE with its 95 % interval over zoom-14 groups. `score` is the mean of MAE / Dummy's, 0 is perfect and 1"
    ]
    lines += ["no better than Dummy; `harmonic` depends on the models in the table (1 is best at everything).", ""]
    for table in tables:
        lines += [f"## {table.title[0].upper()}{table.title[1:]}", ""]
        lines += ["| model | " + " | ".join(table.tasks) + " | score | harmonic |"]
        lines += ["| --- |" + " ---: |" * (len(table.tasks) + 2)]
        for row in table.rows:
            lines.append("| " + " | ".join([row.replace("|", "\\|"), *cells(table, row)]) + " |")
        lines += ["", *(f"- {task}: {table.protocols[task]}" for task in table.tasks), ""]
    return "\n".join(lines)


def cells(table: ReportTable, row: str) -> list[str]:
    """The figures of a row as text: one for each task, then score and harmonic mean."""
    texts = []
    for task in table.tasks:
        if row not in table.maes[task]:
            texts.append("–")
            continue
        low, high = table.intervals[task][row]
        texts.append(f"{table.maes[task][row]:.3g} [{low:.3g}, {high:.3g}]")
    if row not in table.complete_rows:
        return [*texts, "–", "–"]
    return [*texts, f"{table.score(row):.3f}", f"{table.harmonic(row):.3f}"]


def _finite(value: float) -> float | None:
    return value if value == value else None
