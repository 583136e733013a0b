"""Tables of `geojepa report`: errors by model and task, scores over all tasks, and paired differences of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.comparison import Comparison, TaskErrors, compare_all
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD, DUMMY_ROW
from geojepa_cli.evaluate.protocols import NO_PRETRAINING, PROTOCOLS, weakest
from geojepa_cli.metrics.metrics import harmonic_score, relative_to_dummy

_T = TypeVar("_T")


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


class _Probe(_Strict):
    """The entries of a probe's `report.json` that the tables use."""

    task: str
    evaluation: str
    evaluation_description: str
    masked: bool
    fold: int | None = None
    random: bool = False
    regions: list[str]
    scores: list[_Score]


@dataclass
class ReportTable:
    """Results of the probes on the same tiles, with one column per task and one row per model and head.

    A row is named after its model and head, such as `tiny (linear)`. Two probes are in different tables if they differ
    in the regions, in what is hidden from the models, in the split (by zoom-14 tile or random), in the way of testing
    (test split, folds of the task or cross-validation) or in the tested fold. A table has the models of one protocol,
    and those without pretraining.

    Attributes:
        regions: tested regions, as `name@id` of their artifacts.
        masked: True if the tags and entities that reveal the labels were hidden from the models.
        random: True if each tile was assigned to a split separately, which makes scores too good.
        evaluation: `test split`, `task folds` or `cross-validation`.
        fold: the only tested fold; None if all folds were tested.
        protocol: protocol of the models; `no pretraining` if no model was pretrained.
        maes: mean absolute error (MAE): `maes[task][row]`.
        intervals: confidence interval (low, high) of the MAE: `intervals[task][row]`.
        relative: MAE divided by the MAE of the baseline Dummy (predicts the median): `relative[task][row]`.
        evaluations: description of how heads were tested, by task.
        protocols: what the model of a row saw of the tested tiles in pretraining: `protocols[task][row]`.
        errors: for each task, the absolute errors of its probes, oldest probe first.
    """

    regions: tuple[str, ...]
    masked: bool
    random: bool = False
    evaluation: str = "cross-validation"
    fold: int | None = None
    protocol: str = NO_PRETRAINING
    maes: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    relative: dict[str, dict[str, float]] = field(default_factory=dict)
    evaluations: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: dict[str, list[TaskErrors]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title of the table, such as `masked tasks of harrisburg: test split, protocol transfer`."""
        names = ", ".join(region.partition("@")[0] for region in self.regions)
        tested = self.evaluation if self.fold is None else f"fold {self.fold}"
        random = " (RANDOM SPLIT)" if self.random else ""
        return f"{'masked' if self.masked else 'plain'} tasks of {names}: {tested}, protocol {self.protocol}{random}"

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in alphabetical order."""
        return sorted(self.maes)

    @property
    def complete_rows(self) -> list[str]:
        """Names of the rows with a result for every task, best score first.

        Scores of other rows cannot be compared, because a score is an average over tasks.
        """
        rows = set.intersection(*(set(by_row) for by_row in self.maes.values()))
        return sorted(rows, key=lambda row: (self.score(row), row))

    @property
    def rows(self) -> list[str]:
        """Names of all rows: first the complete rows, then the other rows in alphabetical order."""
        complete = self.complete_rows
        others = {row for by_row in self.maes.values() for row in by_row} - set(complete)
        return [*complete, *sorted(others)]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Paired differences of all pairs of rows that were tested on the same tiles. See `compare_all`."""
        return compare_all(self.errors, self.rows, self.random)

    def score(self, row: str) -> float:
        """Returns the score of a row, which is a model with its head. 0 is perfect, 1 is as good as the baseline Dummy.

        For each task, the MAE of the row is divided by the MAE of Dummy (which predicts the median label). The score is
        the mean of these ratios over tasks. It is NaN if the MAE of Dummy is 0 in all tasks.
        """
        mine = {task: self._mae(task, row) for task in self.tasks}
        if not any(self.maes[task][DUMMY_ROW] > 0 for task in self.tasks):
            return float("nan")
        return relative_to_dummy(mine, {task: self.maes[task][DUMMY_ROW] for task in self.tasks})

    def harmonic(self, row: str) -> float:
        """Returns the harmonic score of a row, which is 1 if the row is the best in every task.

        For each task, the lowest MAE of all rows is divided by the MAE of the row. The harmonic score is the harmonic
        mean of these ratios over tasks.
        """
        mine = {task: self._mae(task, row) for task in self.tasks}
        best = {task: min(self._mae(task, one) for one in self.maes[task]) for task in self.tasks}
        return harmonic_score(mine, best)

    def _mae(self, task: str, row: str) -> float:
        """Returns a MAE that is comparable with the others of the task.

        A language model answers about a part of the tiles, which may be easier or harder than all tiles. Its MAE,
        divided by that of Dummy on the same tiles, is multiplied by that of Dummy on all tiles.
        """
        relative = self.relative.get(task, {}).get(row)
        if relative is None or not row.endswith(f" ({ZERO_SHOT})"):
            return self.maes[task][row]
        return relative * self.maes[task][DUMMY_ROW]

    def protocol_of(self, row: str) -> str:
        """Returns the protocol of a row. If it differs between tasks, returns the one that proves least."""
        return weakest([by_row[row] for by_row in self.protocols.values() if row in by_row])

    def relative_by_row(self, rows: Iterable[str]) -> dict[str, dict[str, float]]:
        """Returns for each row and task: MAE of the row, divided by MAE of the baseline Dummy (predicts the median).

        The keys of the result are `[row][task]`. A ratio is NaN if the row was not tested on the task, or if the MAE of
        Dummy is 0.
        """
        return {row: {task: self.relative.get(task, {}).get(row, float("nan")) for task in self.tasks} for row in rows}

    def to_json(self) -> dict[str, Any]:
        """Returns the table as a dict for JSON."""
        complete = self.complete_rows
        return {
            "title": self.title,
            "regions": list(self.regions),
            "masked": self.masked,
            "random": self.random,
            "evaluation": self.evaluation,
            "fold": self.fold,
            "protocol": self.protocol,
            "evaluations": self.evaluations,
            "models": [
                {
                    "model": row,
                    "protocol": self.protocol_of(row),
                    "protocols": {task: by_row[row] for task, by_row in self.protocols.items() if row in by_row},
                    "mae": {task: self.maes[task][row] for task in self.tasks if row in self.maes[task]},
                    "interval": {task: self.intervals[task][row] for task in self.tasks if row in self.maes[task]},
                    "score": _finite(self.score(row)) if row in complete else None,
                    "harmonic": self.harmonic(row) if row in complete else None,
                }
                for row in self.rows
            ],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }


def build_tables(reports: Iterable[Mapping[str, Any]], errors: Sequence[TaskErrors] | None = None) -> list[ReportTable]:
    """Builds tables from the reports of probes. Of several probes of the same model and task, the newest is used.

    Args:
        reports: content of each probe's `report.json`, oldest probe first. They must be valid (see `check_probe`).
        errors: absolute errors of the same probes, in the same order; None for tables without paired differences.
    """
    tables: dict[tuple[Any, ...], ReportTable] = {}
    for place, probe in enumerate(reports):
        selection = (tuple(sorted(probe["regions"])), bool(probe["masked"]), bool(probe.get("random")))
        key = (*selection, probe["evaluation"], probe.get("fold"))
        table = tables.setdefault(key, ReportTable(*key))
        task = probe["task"]
        table.evaluations[task] = probe["evaluation_description"]
        for score in probe["scores"]:
            row = f"{score['model']} ({score['head']})"
            table.maes.setdefault(task, {})[row] = score["mae"]["value"]
            table.protocols.setdefault(task, {})[row] = score["protocol"]
            table.intervals.setdefault(task, {})[row] = (score["mae"]["low"], score["mae"]["high"])
            if score["relative"] is not None:
                table.relative.setdefault(task, {})[row] = score["relative"]
        if errors is not None:
            table.errors.setdefault(task, []).append(errors[place])
    ordered = sorted(tables, key=lambda key: (*key[:-1], -1 if key[-1] is None else key[-1]))
    return [table for key in ordered for table in _by_protocol(tables[key])]


def _by_protocol(table: ReportTable) -> list[ReportTable]:
    """Returns a table for each protocol of pretrained models, with these models and those without pretraining."""
    by_row = {row: table.protocol_of(row) for row in table.rows}
    found = [name for name in PROTOCOLS if name != NO_PRETRAINING and name in by_row.values()]
    return [_only(table, name, by_row) for name in found or [NO_PRETRAINING]]


def _only(table: ReportTable, protocol: str, by_row: Mapping[str, str]) -> ReportTable:
    """Returns the part of a table with the rows of one protocol, and the tasks on which one of them was tested."""
    tasks = [task for task in table.tasks if any(by_row[row] == protocol for row in table.maes[task])]

    def rows(values: Mapping[str, _T]) -> dict[str, _T]:
        return {row: value for row, value in values.items() if by_row[row] in (protocol, NO_PRETRAINING)}

    def errors(task: str) -> list[TaskErrors]:
        return [TaskErrors(one.tiles, one.groups, one.dummy, rows(one.models)) for one in table.errors.get(task, [])]

    return replace(
        table,
        protocol=protocol,
        maes={task: rows(table.maes[task]) for task in tasks},
        intervals={task: rows(table.intervals[task]) for task in tasks},
        relative={task: rows(table.relative.get(task, {})) for task in tasks},
        evaluations={task: table.evaluations[task] for task in tasks},
        protocols={task: rows(table.protocols[task]) for task in tasks},
        errors={task: errors(task) for task in tasks},
    )


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


def _finite(value: float) -> float | None:
    return value if value == value else None
