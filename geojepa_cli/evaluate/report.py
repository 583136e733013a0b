"""Tables for `geojepa report`: errors by model and task, scores over all tasks, and paired differences of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.comparison import Comparison, TaskErrors, compare_all
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.evaluate.protocols import MEANINGS, SEEN, weakest
from geojepa_cli.metrics.metrics import harmonic_score, relative_to_dummy

DUMMY_ROW = f"{DUMMY} ({DUMMY_HEAD})"
NONE = "–"
MARKED = {SEEN: "🔴 seen"}  # Markdown has no colours
COMPARISON_COLUMNS = ("a", "b", "tasks", "score a", "score b", "a − b", "95 % interval", "groups", "verdict")


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
    evaluation_description: str
    masked: bool
    random: bool = False
    regions: list[str]
    scores: list[_Score]


@dataclass
class ReportTable:
    """Results of the probes on the same regions, with one column per task and one row per model and head.

    A row is named after its model and head, such as `tiny (linear)`. Probes with masked tags and probes with all tags
    are never in the same table. Probes of a split by zoom-14 tile and probes of a random split are never in the same
    table, either.

    Attributes:
        regions: tested regions, as `name@id` of their artifacts.
        masked: True if the tags and entities that reveal the labels were hidden from the models.
        random: True if each tile was assigned to a split separately, which makes scores too good.
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
    maes: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    relative: dict[str, dict[str, float]] = field(default_factory=dict)
    evaluations: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: dict[str, list[TaskErrors]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title of the table, such as `masked tasks of harrisburg, state-college`."""
        names = ", ".join(region.partition("@")[0] for region in self.regions)
        return f"{'masked' if self.masked else 'plain'} tasks of {names}{' (RANDOM SPLIT)' if self.random else ''}"

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
        """Paired differences of all pairs of rows with the same head that were tested on the same tiles."""
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

    def protocol(self, row: str) -> str:
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
            "evaluations": self.evaluations,
            "models": [
                {
                    "model": row,
                    "protocol": self.protocol(row),
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
    tables: dict[tuple[tuple[str, ...], bool, bool], ReportTable] = {}
    for place, probe in enumerate(reports):
        key = (tuple(sorted(probe["regions"])), bool(probe["masked"]), bool(probe.get("random")))
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
    return [tables[key] for key in sorted(tables)]


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


def to_markdown(tables: Iterable[Mapping[str, Any]]) -> str:
    """Returns a Markdown document with all tables: MAEs with 95 % intervals, scores, and paired differences.

    Args:
        tables: results of `ReportTable.to_json`.
    """
    lines = ["# Probes", ""]
    lines += [
        "Cells have the MAE and its 95 % confidence interval over zoom-14 groups. `score` is the mean over tasks of",
        "MAE relative to that of Dummy, which predicts the median: 0 is perfect, 1 is no better than Dummy. `harmonic`",
        "compares a model with the best models of the table: 1 is best in every task. Paired differences compare two",
        "models on the same tiles and folds. With fewer than 20 groups, no model is called better.",
        "",
        "`protocol` is what pretraining saw of the tested tiles:",
        "",
        *(f"- {MARKED.get(name, name)}: {meaning}" for name, meaning in MEANINGS.items()),
        "",
    ]
    for table in tables:
        tasks = sorted(table["evaluations"])
        lines += [f"## {table['title'][0].upper()}{table['title'][1:]}", ""]
        rows = [[model, MARKED.get(protocol, protocol), *cells] for model, protocol, *cells in score_rows(table)]
        lines += _markdown_table(["model", "protocol", *tasks, "score", "harmonic"], rows, text_columns=2)
        lines += ["", *(f"- {task}: {table['evaluations'][task]}" for task in tasks), ""]
        if table["comparisons"]:
            rows = comparison_rows(table)
            lines += ["Paired differences:", "", *_markdown_table(COMPARISON_COLUMNS, rows, text_columns=2), ""]
    return "\n".join(lines)


def score_rows(table: Mapping[str, Any]) -> list[list[str]]:
    """Returns a row of text cells for each model and head: name, protocol, MAE by task, score, harmonic score.

    `ReportTable.score` and `ReportTable.harmonic` define the two scores.

    Args:
        table: result of `ReportTable.to_json`.
    """
    rows = []
    for model in table["models"]:
        row = [model["model"], model["protocol"]]
        for task in sorted(table["evaluations"]):
            known = task in model["mae"]
            row.append(
                "{:.3g} [{:.3g}, {:.3g}]".format(model["mae"][task], *model["interval"][task]) if known else NONE
            )
        whole = model["harmonic"] is not None
        score = f"{float('nan') if model['score'] is None else model['score']:.3f}"
        rows.append([*row, score if whole else NONE, f"{model['harmonic']:.3f}" if whole else NONE])
    return rows


def comparison_rows(table: Mapping[str, Any]) -> list[list[str]]:
    """Returns a row of text cells for each paired difference, in the order of `COMPARISON_COLUMNS`."""
    return [
        [
            comparison["a"]["model"],
            comparison["b"]["model"],
            str(len(comparison["tasks"])),
            f"{comparison['a']['relative']:.3f}",
            f"{comparison['b']['relative']:.3f}",
            "{value:+.3f}".format(**comparison["difference"]),
            "{low:+.3f} … {high:+.3f}".format(**comparison["difference"]),
            str(comparison["groups"]),
            comparison["verdict"],
        ]
        for comparison in table["comparisons"]
    ]


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|" + " --- |" * text_columns + " ---: |" * (len(columns) - text_columns))
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def _finite(value: float) -> float | None:
    return value if value == value else None
