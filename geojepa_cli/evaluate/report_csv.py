"""CSV files of `geojepa report`: one line per result, and one line per model with its costs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geojepa_cli.evaluate.ranking import is_ranked
from geojepa_cli.evaluate.report import ReportTable
from geojepa_cli.evaluate.report_cell import FIGURES, Cell

_SPREADS = ("mae", "auroc", "average_precision", "r2", "spearman")
_PARTS = ("presence_auroc", "presence_average_precision", "value_mae")
COLUMNS = (
    *("regions", "task", "masked", "random_split", "evaluation", "fold", "tile_set"),
    *("model", "head", "ref", "protocol"),
    *("shared_entities", "buffer", "ranked", "best", "tiles", "groups"),
    *("mae", "mae_low", "mae_high", "mae_relative_to_dummy", *FIGURES, "seeds"),
    *(f"{name}_spread" for name in _SPREADS),
    *_PARTS,
    *("parameters", "all_parameters", "probe"),
)
COST_COLUMNS = (
    *("ref", "training_s", "training_device", "training_threads", "training_steps", "training_tokens"),
    *("training_tiles", "training_tasks", "embedding_tiles", "embedding_s", "encoder_s", "embedding_device"),
    "tiles_per_s",
)


def results_to_csv(
    tables: Iterable[ReportTable],
    probes: Sequence[tuple[str, Mapping[str, Any]]],
    parameters: Mapping[str, Mapping[str, Any]],
) -> str:
    """Returns a line for each model, head, task, masked or plain, and protocol, as CSV with a header.

    A row without pretraining, which is in the table of every protocol, has one line. Its column `best` is true if it is
    the best in one of these tables, proven by a paired interval.

    Args:
        tables: tables of the report.
        probes: reference and content of `report.json` of the probes from which the tables are built.
        parameters: numbers of parameters of the models, by their references.
    """
    lines: dict[tuple[str, int, str], dict[str, Any]] = {}
    for table in tables:
        for task in table.tasks:
            best = table.best.get(task)
            for row in table.rows:
                if row not in table.cells[task]:
                    continue
                cell = table.cells[task][row]
                line = lines.setdefault((task, cell.probe, row), _line(table, task, cell, row, probes, parameters))
                line["best"] = line["best"] or bool(best and best.row == row and best.proven)
    return _to_csv(COLUMNS, lines.values())


def costs_to_csv(costs: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns a line for each model, as CSV with a header. `ReportModels.costs` describes the costs."""
    lines = []
    for ref, parts in sorted(costs.items()):
        training, embedding = parts.get("training", {}), parts.get("embedding", {})
        names = {"s": "seconds", **{name: name for name in ("device", "threads", "steps", "tokens", "tiles", "tasks")}}
        line = {"ref": ref, **{f"training_{name}": training.get(key) for name, key in names.items()}}
        line |= {"embedding_tiles": embedding.get("tiles"), "embedding_s": embedding.get("seconds")}
        line |= {"encoder_s": embedding.get("encoder_seconds"), "embedding_device": embedding.get("device")}
        lines.append({**line, "tiles_per_s": embedding.get("tiles_per_s")})
    return _to_csv(COST_COLUMNS, lines)


def _line(
    table: ReportTable,
    task: str,
    cell: Cell,
    row: str,
    probes: Sequence[tuple[str, Mapping[str, Any]]],
    parameters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    score, (probe, content) = cell.score, probes[cell.probe]
    low, high = cell.interval
    counts = parameters.get(score.get("ref") or "", {})
    spread, parts = score.get("spread") or {}, score.get("parts") or {}
    return {
        "regions": " ".join(table.regions),
        "task": task,
        **{name: getattr(table, name) for name in ("masked", "evaluation", "fold", "tile_set")},
        "random_split": table.random,
        **{name: score.get(name) for name in ("model", "head", "ref", "protocol", "seeds", *FIGURES)},
        "shared_entities": cell.shared,
        "buffer": cell.buffer,
        "ranked": is_ranked(row),
        "best": False,
        **{name: content.get(name) for name in ("tiles", "groups")},
        "mae": cell.mae,
        "mae_low": low,
        "mae_high": high,
        "mae_relative_to_dummy": score["relative"],
        **{f"{name}_spread": spread.get(name) for name in _SPREADS},
        **{name: parts.get(name) for name in _PARTS},
        **{name: counts.get(name) for name in ("parameters", "all_parameters")},
        "probe": probe,
    }


def _to_csv(columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(line[name]) for name in columns] for line in lines)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
