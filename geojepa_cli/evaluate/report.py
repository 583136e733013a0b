"""Tables of `geojepa report`: errors by model and task, scores over all tasks, and paired differences of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from geojepa_cli.config.labels import WITHOUT_SHARED
from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.comparison import Comparison, TaskErrors, compare_all
from geojepa_cli.evaluate.predictions import DUMMY_ROW
from geojepa_cli.evaluate.protocols import NO_PRETRAINING, PROTOCOLS, weakest
from geojepa_cli.evaluate.ranking import Best, find_best, is_ranked
from geojepa_cli.evaluate.report_cell import Cell
from geojepa_cli.evaluate.report_input import row_name
from geojepa_cli.evaluate.report_rows import other_tiles, renamed, row_names, tile_sets
from geojepa_cli.metrics.metrics import harmonic_score, relative_to_dummy


@dataclass
class ReportTable:
    """Results of the probes on the same tiles, with one column per task and one row per model and head.

    A row is named after its model and head, such as `tiny (linear)`. Two probes are in different tables if they differ
    in the regions, in what is hidden from the models, in the split (by zoom-14 tile or random), in the way of testing
    (test split, folds of the task or cross-validation), in the tested fold, or in the tiles, folds and labels of a
    task. A table has the models of one protocol, and those without pretraining.

    Attributes:
        regions: tested regions, as `name@id` of their artifacts.
        masked: True if the tags and entities that reveal the labels were hidden from the models.
        random: True if each tile was assigned to a split separately, which makes scores too good.
        evaluation: `test split`, `task folds` or `cross-validation`.
        fold: the only tested fold; None if all folds were tested.
        tile_set: 0 for the tiles, folds and labels of each task on which most rows were tested. Results on other ones
            are in tables with the numbers 1, 2, …
        protocol: protocol of the models; `no pretraining` if no model was pretrained.
        cells: result of every row on every task: `cells[task][row]`.
        evaluations: description of how heads were tested, by task.
        units: unit of the labels, by task; may be empty.
        errors: for each task, the absolute errors of its probes, oldest probe first.
    """

    regions: tuple[str, ...]
    masked: bool
    random: bool = False
    evaluation: str = "cross-validation"
    fold: int | None = None
    tile_set: int = 0
    protocol: str = NO_PRETRAINING
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    evaluations: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[TaskErrors]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title of the table, such as `masked tasks of harrisburg: test split, protocol transfer`."""
        names = ", ".join(region.partition("@")[0] for region in self.regions)
        tested = self.evaluation if self.fold is None else f"fold {self.fold}"
        tested += other_tiles(self.tile_set)
        random = " (RANDOM SPLIT)" if self.random else ""
        return f"{'masked' if self.masked else 'plain'} tasks of {names}: {tested}, protocol {self.protocol}{random}"

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in alphabetical order."""
        return sorted(self.cells)

    @cached_property
    def maes(self) -> dict[str, dict[str, float]]:
        """Mean absolute errors: `maes[task][row]`."""
        return {task: {row: cell.mae for row, cell in by_row.items()} for task, by_row in self.cells.items()}

    @property
    def complete_rows(self) -> list[str]:
        """Names of the rows with a result for every task, best score first.

        Scores of other rows cannot be compared, because a score is an average over tasks.
        """
        rows = set.intersection(*(set(by_row) for by_row in self.cells.values()))
        return sorted(rows, key=lambda row: (self.score(row), row))

    @property
    def rows(self) -> list[str]:
        """Names of all rows: first the complete rows, then the other rows in alphabetical order."""
        complete = self.complete_rows
        others = {row for by_row in self.cells.values() for row in by_row} - set(complete)
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
        mine = {task: self.comparable_mae(task, row) for task in self.tasks}
        if not any(self.maes[task][DUMMY_ROW] > 0 for task in self.tasks):
            return float("nan")
        return relative_to_dummy(mine, {task: self.maes[task][DUMMY_ROW] for task in self.tasks})

    def harmonic(self, row: str) -> float:
        """Returns the harmonic score of a row (GeoJEPA thesis, section 8.3), which is 1 if it is best in every task.

        For each task, the lowest MAE of the table is divided by the MAE of the row. The harmonic score is the harmonic
        mean of these ratios over tasks. Models outside the ranking set no lowest MAE, so their score may exceed 1. It
        is NaN if a model has no error at all in a task and this row has some, because then no ratio says how much.
        """
        mine = {task: self.comparable_mae(task, row) for task in self.tasks}
        best = {}
        for task in self.tasks:
            best[task] = min(self.comparable_mae(task, one) for one in self.cells[task] if is_ranked(one))
        if any(best[task] == 0 < mine[task] for task in self.tasks):
            return float("nan")
        return harmonic_score(mine, best)

    @cached_property
    def best(self) -> dict[str, Best]:
        """Best ranked row of each task, and whether its paired interval excludes the next best row."""
        found: dict[str, Best] = {}
        for task in self.tasks:
            values = {row: self.comparable_mae(task, row) for row in self.cells[task]}
            best = find_best(values, {task: self.errors.get(task, [])}, self.random)
            if best:
                found[task] = best
        return found

    @cached_property
    def best_score(self) -> Best | None:
        """Row with the best score over all tasks, and whether its paired interval excludes the next best row."""
        scores = {row: self.score(row) for row in self.complete_rows}
        return find_best(scores, {task: self.errors.get(task, []) for task in self.tasks}, self.random)

    def comparable_mae(self, task: str, row: str) -> float:
        """Returns a MAE that is comparable with the others of the task.

        A language model answers about a part of the tiles, which may be easier or harder than all tiles. Its MAE,
        divided by that of Dummy on the same tiles, is multiplied by that of Dummy on all tiles.
        """
        cell = self.cells[task][row]
        if cell.score["relative"] is None or not row.endswith(f" ({ZERO_SHOT})"):
            return cell.mae
        return cell.relative * self.maes[task][DUMMY_ROW]

    def protocol_of(self, row: str) -> str:
        """Returns the protocol of a row. If it differs between tasks, returns the one that proves least."""
        return weakest([by_row[row].protocol for by_row in self.cells.values() if row in by_row])

    def relative_by_row(self, rows: Iterable[str]) -> dict[str, dict[str, float]]:
        """Returns for each row and task: MAE of the row, divided by MAE of the baseline Dummy (predicts the median).

        The keys of the result are `[row][task]`. A ratio is NaN if the row was not tested on the task, or if the MAE of
        Dummy is 0.
        """
        known = {task: {row: cell.relative for row, cell in by_row.items()} for task, by_row in self.cells.items()}
        return {row: {task: known[task].get(row, float("nan")) for task in self.tasks} for row in rows}

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
            "tile_set": self.tile_set,
            "protocol": self.protocol,
            "evaluations": self.evaluations,
            "units": self.units,
            "models": [self._row_to_json(row, row in complete) for row in self.rows],
            "best": {task: best.to_json() for task, best in self.best.items()},
            "best_score": self.best_score.to_json() if self.best_score else None,
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }

    def _row_to_json(self, row: str, complete: bool) -> dict[str, Any]:
        cells = {task: self.cells[task][row] for task in self.tasks if row in self.cells[task]}
        newest = max(cells.values(), key=lambda cell: cell.probe).score
        return {
            "model": row,
            "name": newest["model"],
            "head": newest["head"],
            "ref": newest.get("ref"),
            "ranked": is_ranked(row),
            "protocol": self.protocol_of(row),
            "protocols": {task: cell.protocol for task, cell in cells.items()},
            "shared_entities": {task: cell.shared for task, cell in cells.items()},
            "buffer": {task: cell.buffer for task, cell in cells.items()},
            "mae": {task: cell.mae for task, cell in cells.items()},
            "interval": {task: cell.interval for task, cell in cells.items()},
            "relative": {task: _finite(cell.relative) for task, cell in cells.items()},
            "figures": {task: cell.figures for task, cell in cells.items()},
            "score": _finite(self.score(row)) if complete else None,
            "harmonic": _finite(self.harmonic(row)) if complete else None,
        }


def build_tables(
    reports: Iterable[Mapping[str, Any]],
    errors: Sequence[TaskErrors] | None = None,
    shared: Sequence[float | None] | None = None,
) -> list[ReportTable]:
    """Builds tables from the reports of probes. Of several probes of the same model and task, the newest is used.

    Args:
        reports: content of each probe's `report.json`, oldest probe first. They must be valid (see `check_probe`).
        errors: absolute errors of the same probes, in the same order; None for tables without paired differences.
        shared: for each of the probes, the share of the entities in test tiles that also lie in training tiles. None
            where it is unknown.
    """
    probes, tables = list(reports), dict[tuple[Any, ...], ReportTable]()
    keys, rows = [_key(probe) for probe in probes], row_names(probes)
    columns = [(*key, probe["task"]) for key, probe in zip(keys, probes, strict=True)]
    sets = tile_sets(columns, errors, [list(names.values()) for names in rows]) if errors else [0] * len(probes)
    for place, (probe, key, names) in enumerate(zip(probes, keys, rows, strict=True)):
        whole = *key, sets[place]
        table = tables.setdefault(whole, ReportTable(*whole))
        task = probe["task"]
        table.evaluations[task] = probe["evaluation_description"]
        table.units[task] = probe.get("unit", "")
        cells = table.cells.setdefault(task, {})
        for score in probe["scores"]:
            hidden = score["model"].endswith(WITHOUT_SHARED.format(""))
            leaked = 0.0 if hidden else shared[place] if shared else None
            cells[names[row_name(score)]] = Cell(score, place, bool(probe.get("buffer")), leaked)
        if errors is not None:
            table.errors.setdefault(task, []).append(renamed(errors[place], names))
    ordered = sorted(tables, key=lambda key: (*key[:-2], -1 if key[-2] is None else key[-2], key[-1]))
    return [table for key in ordered for table in _by_protocol(tables[key])]


def _key(probe: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what all probes of a table have in common, but for the tested tiles."""
    selection = tuple(sorted(probe["regions"])), bool(probe["masked"]), bool(probe.get("random"))
    return *selection, probe["evaluation"], probe.get("fold")


def _by_protocol(table: ReportTable) -> list[ReportTable]:
    """Returns a table for each protocol of pretrained models, with these models and those without pretraining."""
    by_row = {row: table.protocol_of(row) for row in table.rows}
    found = [name for name in PROTOCOLS if name != NO_PRETRAINING and name in by_row.values()]
    return [_only(table, name, by_row) for name in found or [NO_PRETRAINING]]


def _only(table: ReportTable, protocol: str, by_row: Mapping[str, str]) -> ReportTable:
    """Returns the part of a table with the rows of one protocol, and the tasks on which one of them was tested."""
    tasks = [task for task in table.tasks if any(by_row[row] == protocol for row in table.cells[task])]
    shown = {row for row, name in by_row.items() if name in (protocol, NO_PRETRAINING)}

    def errors(task: str) -> list[TaskErrors]:
        found = table.errors.get(task, [])
        return [
            TaskErrors(one.tiles, one.groups, one.dummy, {row: v for row, v in one.models.items() if row in shown})
            for one in found
        ]

    return replace(
        table,
        protocol=protocol,
        cells={task: {row: cell for row, cell in table.cells[task].items() if row in shown} for task in tasks},
        evaluations={task: table.evaluations[task] for task in tasks},
        units={task: table.units[task] for task in tasks},
        errors={task: errors(task) for task in tasks},
    )


def _finite(value: float) -> float | None:
    return value if value == value else None
