"""HTML page of a report, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from geojepa_cli.evaluate import report_text as text
from geojepa_cli.evaluate.protocols import MEANINGS, SEEN
from geojepa_cli.evaluate.report_tiles import MAX_POINTS, ErrorMap, RowTiles
from geojepa_cli.grid import parse_tile, tile_bounds
from geojepa_cli.pages.pictures import data_uri
from geojepa_cli.pages.report import charts
from geojepa_cli.pages.template import render

PICTURE_PX = 176
QUALITY = 78
MAX_DOTS = len(charts.COLOURS)  # models of a dot plot


@dataclass(frozen=True)
class Picture:
    """Picture of a tile.

    Attributes:
        pixels: red, green and blue bands, uint8 [3, side, side].
        drawn: True if the picture is drawn from the map, False for an aerial image.
    """

    pixels: NDArray[np.uint8]
    drawn: bool


@dataclass(frozen=True)
class TaskPlots:
    """Data of the plots of one task in one table.

    Attributes:
        rows: predictions of the shown rows, best first.
        errors: errors of the best row.
    """

    rows: Sequence[RowTiles]
    errors: ErrorMap


def render_report(
    content: Mapping[str, Any],
    costs: Mapping[str, Any],
    plots: Sequence[TaskPlots],
    pictures: Mapping[tuple[str, str], Picture],
    credits: Sequence[str] = (),
) -> str:
    """Returns the HTML page of a report as text. All names, and all text from files of users, are escaped.

    Args:
        content: content of `report.json`.
        costs: content of `cost.json`.
        plots: data of the plots, in the order of `content["tiles"]`.
        pictures: pictures of the worst tiles, by region (`name@id`) and name of the tile. Others have none.
        credits: attribution lines of maps and images.
    """
    images = {key: data_uri(one.pixels, PICTURE_PX, QUALITY) for key, one in pictures.items()}
    tables = [_table_view(place, content, plots, pictures, images) for place in range(len(content["tables"]))]
    names = {row["ref"] for block in content["overview"] for row in block["rows"] if row["ref"]}
    regions = {ref.partition("@")[0] for table in content["tables"] for ref in table["regions"]}
    return render(
        "geojepa_cli.pages.report",
        credits,
        blocks=[_block_view(block, content, costs) for block in content["overview"]],
        tables=tables,
        models=len(names),
        tasks=len({task for table in content["tables"] for task in table["evaluations"]}),
        regions=sorted(regions),
        explained=[*text.SCORES_EXPLAINED, f"bold: {text.BOLD_EXPLAINED}", *text.DETAILS_EXPLAINED],
        meanings=MEANINGS,
        seen=SEEN,
        points=MAX_POINTS,
        has_drawn=any(one.drawn for one in pictures.values()),
    )


def _block_view(block: Mapping[str, Any], content: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    parts = [
        {"title": text.part_title(part), "columns": text.part_columns(part, False), "table": part["table"]}
        for part in block["parts"]
    ]
    rows = []
    for row in block["rows"]:
        details = text.detail_cells(row, costs)[1:]
        cells = [_cells(row, place, part) for place, part in enumerate(block["parts"])]
        rows.append({"name": row["model"], "ranked": row["ranked"], "cells": cells, "details": details})
    dots = [_dots(part["title"], content["tables"][part["table"]]) for part in parts]
    return {
        "title": text.block_title(block),
        "protocol": block["protocol"],
        "parts": parts,
        "rows": rows,
        "dots": dots,
        "random": block["random"],
    }


def _cells(row: Mapping[str, Any], place: int, part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the cells of a row for the tasks of a part, with a mark for those that are proven to be the best."""
    found = row["parts"][place]
    bold = found["bold"] if found else []
    shown = text.part_cells(row, place, part, "")
    return [
        {"text": cell, "bold": name in bold}
        for name, cell in zip([*part["tasks"], "score", "harmonic"], shown, strict=True)
    ]


def _dots(title: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a dot plot of MAE / MAE of Dummy: one line for each task, one dot for each of the best models."""
    complete = [model for model in table["models"] if model["score"] is not None and model["ref"] is not None]
    shown = [model for model in complete if model["ranked"]][:MAX_DOTS]
    values = [value for model in shown for value in model["relative"].values() if value is not None]
    most = charts.nice_end([1.0, *values])
    lines = []
    for task in sorted(table["evaluations"]):
        places = charts.dot_places({model["model"]: model["relative"].get(task) for model in shown}, most)
        dots = [
            {"left": places[model["model"]], "colour": colour, "text": f"{model['model']}: {ratio}"}
            for model, colour in zip(shown, charts.COLOURS, strict=False)
            if model["model"] in places and (ratio := text.ratio(model["relative"][task]))
        ]
        lines.append({"task": task, "dots": dots})
    key = [
        {"name": model["model"], "protocol": model["protocol"], "colour": colour}
        for model, colour in zip(shown, charts.COLOURS, strict=False)
    ]
    hidden = len(complete) - len(shown)
    return {"title": title, "lines": lines, "key": key, "hidden": hidden, "dummy": round(100 / most, 2), "end": most}


def _table_view(
    place: int,
    content: Mapping[str, Any],
    plots: Sequence[TaskPlots],
    pictures: Mapping[tuple[str, str], Picture],
    images: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    table = content["tables"][place]
    entries = {e["task"]: (e, plot) for e, plot in zip(content["tiles"], plots, strict=True) if e["table"] == place}
    tasks = []
    for task in sorted(table["evaluations"]):
        entry, plot = entries.get(task, (None, None))
        view = {"name": task, "evaluation": table["evaluations"][task], "unit": table["units"].get(task, "")}
        view |= {"rows": _task_rows(table, task), "figures": _figures(table, task), "plots": None}
        if entry is not None and plot is not None:
            view["plots"] = _plots_view(table, entry, plot) | {"worst": _worst(table, entry, pictures, images)}
        tasks.append(view)
    compared = {"columns": text.COMPARISON_COLUMNS, "rows": text.comparison_rows(table)}
    title = f"{table['title'][0].upper()}{table['title'][1:]}"
    return {
        "title": title,
        "protocol": table["protocol"],
        "tasks": tasks,
        "compared": compared,
        "random": table["random"],
        "id": f"table-{place}",
    }


def _figures(table: Mapping[str, Any], task: str) -> list[str]:
    """Returns the names of the figures other than the MAE that a row of a task has."""
    names = {name for model in table["models"] for name in model["figures"].get(task, {})}
    order = ["mae_unthinned", "r2", "spearman", "auroc", "average_precision"]
    return [name for name in order if name in names] + sorted(names - set(order))


def _task_rows(table: Mapping[str, Any], task: str) -> list[dict[str, Any]]:
    models = [model for model in table["models"] if task in model["mae"]]
    models.sort(key=lambda model: (not model["ranked"], model["mae"][task], model["model"]))
    dummy = next(model["mae"][task] for model in models if model["ref"] is None and model["head"] == "median")
    most = charts.nice_end([end for model in models for end in model["interval"][task]])
    best = table["best"].get(task, {})
    rows = []
    for model in models:
        mae, (low, high) = model["mae"][task], model["interval"][task]
        seen = model["protocols"][task] == SEEN
        known = model["figures"].get(task, {})
        rows.append(
            {
                "name": model["model"],
                "ranked": model["ranked"],
                "protocol": model["protocols"][task],
                "shared": text.share(model["shared_entities"][task]),
                "buffer": "yes" if model["buffer"][task] else "no",
                "mae": f"{mae:.3g}",
                "interval": f"[{low:.3g}, {high:.3g}]",
                "bold": best.get("row") == model["model"] and best["bold"],
                "bar": Markup(charts.interval_bar(mae, low, high, dummy, most, seen)),  # noqa: S704 - numbers only
                "relative": text.ratio(model["relative"][task]),
                "figures": [_figure(known.get(name)) for name in _figures(table, task)],
            }
        )
    return rows


def _range(low: float, high: float) -> str:
    ends = f"{low:.3g}", f"{high:.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _figure(value: float | None) -> str:
    return text.NONE if value is None else f"{value:.3g}"


def _plots_view(table: Mapping[str, Any], entry: Mapping[str, Any], plot: TaskPlots) -> dict[str, Any]:
    ends = charts.scatter_ends(plot.rows)
    binary = set(np.unique(np.concatenate([row.labels for row in plot.rows])).tolist()) <= {0.0, 1.0}
    protocols = {model["model"]: model["protocols"].get(entry["task"]) for model in table["models"]}
    scatters = [
        {
            "row": row.row,
            "protocol": protocols[row.row],
            "svg": Markup(charts.draw_scatter(row, ends, binary, colour)),  # noqa: S704 - numbers only
            "shown": shown["shown"],
            "tiles": shown["tiles"],
        }
        for row, shown, colour in zip(plot.rows, entry["scatter"], charts.COLOURS, strict=False)
    ]
    panels, hidden = charts.draw_error_map(plot.errors)
    return {
        "best": entry["row"],
        "ends": [f"{end:.3g}" for end in ends],
        "binary": binary,
        "scatters": scatters,
        "panels": [Markup(panel) for panel in panels],  # noqa: S704 - numbers only
        "hidden": hidden,
        "square": entry["error_map"]["square"],
        "legend": [
            {"colour": one["colour"], "text": _range(one["low"], one["high"])} for one in charts.legend(plot.errors)
        ],
    }


def _worst(
    table: Mapping[str, Any],
    entry: Mapping[str, Any],
    pictures: Mapping[tuple[str, str], Picture],
    images: Mapping[tuple[str, str], str],
) -> list[dict[str, Any]]:
    refs = {ref.partition("@")[0]: ref for ref in table["regions"]}
    found = []
    for tile in entry["worst"]:
        key = (refs[tile["region"]], tile["tile"])
        west, south, east, north = tile_bounds(*parse_tile(tile["tile"]))
        found.append(
            {
                **{name: tile[name] for name in ("tile", "region")},
                **{name: f"{tile[name]:.3g}" for name in ("label", "predicted", "error")},
                "unrounded": f"{tile['unrounded_error']:.3g}" if tile["unrounded_error"] != tile["error"] else "",
                "image": images.get(key),
                "drawn": key in pictures and pictures[key].drawn,
                "url": f"https://www.openstreetmap.org/#map=17/{(south + north) / 2:.5f}/{(west + east) / 2:.5f}",
            }
        )
    return found
