"""Text of `geojepa report`: the tables as rows of cells, and as a Markdown document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geojepa_cli.evaluate.protocols import MEANINGS, SEEN

NONE = "–"
MARKED = {SEEN: "🔴 seen"}  # Markdown has no colours
COMPARISON_COLUMNS = ("a", "b", "tasks", "score a", "score b", "a − b", "95 % interval", "groups", "verdict")


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
