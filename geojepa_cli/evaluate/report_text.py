"""Text of `geojepa report`: the tables as rows of cells, and as a Markdown document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli.evaluate.protocols import MEANINGS, SEEN
from geojepa_cli.evaluate.report_rows import other_tiles

NONE = "–"
MARKED = {SEEN: "🔴 seen"}  # Markdown has no colours
OUTSIDE = " (not ranked)"
COMPARISON_COLUMNS = ("a", "b", "tasks", "score a", "score b", "a − b", "95 % interval", "groups", "verdict")
DETAIL_COLUMNS = ("protocol", "shared", "buffer", "parameters", "all", "training", "tiles/s")
SCORES_EXPLAINED = (
    "score: for each task, the MAE of the model is divided by the MAE of Dummy, which predicts the median label; "
    "the score is the mean of these ratios over tasks (0 is perfect, 1 is no better than Dummy)",
    "harmonic: for each task, the best MAE in the table is divided by the MAE of the model; this column is the "
    "harmonic mean of these ratios over tasks (1 is best in every task); it changes with the models in the table, and "
    "is – where the best MAE is 0",
)
BOLD_EXPLAINED = (
    "the best value of a column, only where the paired 95 % interval of its difference to the next best row excludes 0 "
    "and the tiles lie in at least 20 zoom-14 groups; harmonic means have no interval"
)
DETAILS_EXPLAINED = (
    "shared: share of the entities in test tiles that are parts of OSM elements which also lie in training tiles",
    "buffer: groups next to test groups are not used for training",
    "parameters: trained parameters of the network that makes the vectors or predictions; all: with the frozen image "
    "and geometry encoders that it reads (without the text encoder, which runs once per tag)",
    "training: measured time, on the device; of a model trained on labels, per task with all folds",
    "tiles/s: measured rate of embedding, with image and geometry encoders, reading and writing",
)


def to_markdown(content: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    """Returns a Markdown document: the overview, then each table with MAEs, intervals, scores and paired differences.

    Args:
        content: content of `report.json`.
        costs: content of `cost.json`.
    """
    lines = ["# Probes", ""]
    lines += [f"- {text}" for text in (*SCORES_EXPLAINED, f"**bold**: {BOLD_EXPLAINED}", *DETAILS_EXPLAINED)]
    lines += [
        "- Models with random weights in their image encoder are not ranked.",
        "",
        "`protocol` is what pretraining saw of the tested tiles:",
        "",
        *(f"- {MARKED.get(name, name)}: {meaning}" for name, meaning in MEANINGS.items()),
        "",
        "## Overview: MAE / MAE of Dummy",
        "",
    ]
    for block in content["overview"]:
        columns = ["model", *(name for part in block["parts"] for name in part_columns(part, len(block["parts"]) > 1))]
        rows = []
        for row in block["rows"]:
            name, *details = detail_cells(row, costs)
            cells = [cell for place, part in enumerate(block["parts"]) for cell in part_cells(row, place, part, "**")]
            rows.append([name, *cells, MARKED.get(details[0], details[0]), *details[1:]])
        lines += [f"### {block_title(block)}", "", *_markdown_table([*columns, *DETAIL_COLUMNS], rows), ""]
    for table in content["tables"]:
        lines += _table_lines(table)
    return "\n".join(lines)


def block_title(block: Mapping[str, Any]) -> str:
    """Returns the title of a part of the overview, such as `potsdam, protocol transfer`."""
    names = ", ".join(region.partition("@")[0] for region in block["regions"])
    fold = "" if block["fold"] is None else f", fold {block['fold']}"
    fold += other_tiles(block["tile_set"])
    return f"{names}{fold}, protocol {block['protocol']}{' (RANDOM SPLIT)' if block['random'] else ''}"


def part_title(part: Mapping[str, Any]) -> str:
    """Returns the title of the plain or masked tasks of an overview, such as `masked tasks, test split`."""
    return f"{'masked' if part['masked'] else 'plain'} tasks, {part['evaluation']}"


def part_columns(part: Mapping[str, Any], several: bool) -> list[str]:
    """Returns the names of the columns of `part_cells`; with the kind of the tasks if there are several parts."""
    kind = f"{'masked' if part['masked'] else 'plain'}: " if several else ""
    return [f"{kind}{name}" for name in (*part["tasks"], "score", "harmonic")]


def part_cells(row: Mapping[str, Any], place: int, part: Mapping[str, Any], bold: str) -> list[str]:
    """Returns the cells of a row of the overview for one of its parts: MAE / Dummy's by task, score, harmonic.

    Args:
        row: row of the overview.
        place: index of the part.
        part: part of the overview.
        bold: text to put before and after values that are proven to be the best.
    """
    found = row["parts"][place]
    if found is None:
        return [NONE] * (len(part["tasks"]) + 2)
    values = {task: found["relative"].get(task) for task in part["tasks"]}
    values["score"] = found["score"]
    cells = [f"{bold}{ratio(value)}{bold}" if name in found["bold"] else ratio(value) for name, value in values.items()]
    return [*cells, ratio(found["harmonic"])]


def detail_cells(row: Mapping[str, Any], costs: Mapping[str, Any]) -> list[str]:
    """Returns the name of a row of the overview, then the cells of `DETAIL_COLUMNS`: leakage, parameters and costs."""
    cost = costs.get(row["ref"] or "", {})
    training, embedding = cost.get("training", {}), cost.get("embedding", {})
    time = duration(training["seconds"]) if "seconds" in training else NONE
    time += f" per task ({training['tasks']})" if "tasks" in training else ""
    return [
        row["model"] + ("" if row["ranked"] else OUTSIDE),
        row["protocol"],
        shares(row["shared_entities"]),
        {True: "yes", False: "no", None: "in part"}[row["buffer"]],
        count(row["parameters"]),
        count(row["all_parameters"]),
        f"{time}, {training['device']}" if "device" in training else time,
        f"{embedding['tiles_per_s']:,g}" if "tiles_per_s" in embedding else NONE,
    ]


def ratio(value: float | None) -> str:
    """Returns a ratio with three decimals."""
    return NONE if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    """Returns a share in percent."""
    return NONE if value is None else f"{100 * value:.1f} %"


def shares(ends: Sequence[float] | None) -> str:
    """Returns a range of shares in percent."""
    if ends is None:
        return NONE
    low, high = (share(end) for end in ends)
    return low if low == high else f"{low.removesuffix(' %')}–{high}"


def count(value: int | None) -> str:
    """Returns a number of parameters, such as `5.17 M`."""
    if value is None:
        return NONE
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def duration(seconds: float) -> str:
    """Returns a time in seconds, minutes or hours."""
    if seconds < 600:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:,.0f} min" if seconds < 36_000 else f"{seconds / 3600:,.0f} h"


def _table_lines(table: Mapping[str, Any]) -> list[str]:
    tasks = sorted(table["evaluations"])
    lines = [f"## {table['title'][0].upper()}{table['title'][1:]}", ""]
    lines += ["MAE with its 95 % confidence interval over zoom-14 groups.", ""]
    rows = [[model, MARKED.get(protocol, protocol), *cells] for model, protocol, *cells in score_rows(table)]
    lines += _markdown_table(["model", "protocol", *tasks, "score", "harmonic"], rows, text_columns=2)
    lines += ["", *(f"- {task}: {table['evaluations'][task]}" for task in tasks), ""]
    if table["comparisons"]:
        compared = comparison_rows(table)
        lines += ["Paired differences:", "", *_markdown_table(COMPARISON_COLUMNS, compared, text_columns=2), ""]
    return lines


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
        rows.append([*row, ratio(model["score"]), ratio(model["harmonic"])])
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
