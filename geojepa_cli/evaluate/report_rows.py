"""Rows and sets of tiles of the tables of `geojepa report`: what may stand in one row, and what in one column."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.report_input import row_name


def row_names(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Returns the names of the rows of each probe, by the name that `row_name` gives them.

    A row has the results of one model. If two models have the same name, such as a model that was trained again, the
    one of the newest probe keeps it; the others have their id in the name: `tiny@1a2b3c4d5e6f (linear)`.

    Args:
        reports: content of each probe's `report.json`, oldest probe first.
    """
    newest = {score["model"]: score.get("ref") for probe in reports for score in probe["scores"]}
    found: list[dict[str, str]] = []
    for probe in reports:
        names = {}
        for score in probe["scores"]:
            model, ref = score["model"], score.get("ref")
            if ref and ref != newest[model]:
                name = ref.partition("@")[0]
                model = model.replace(name, ref, 1) if name in model else f"{model} ({ref})"
            names[row_name(score)] = row_name({**score, "model": model})
        found.append(names)
    return found


def renamed(errors: TaskErrors, names: Mapping[str, str]) -> TaskErrors:
    """Returns the errors of a probe with its rows renamed."""
    return replace(errors, models={names.get(row, row): values for row, values in errors.models.items()})


def tile_sets(columns: Sequence[Hashable], errors: Sequence[TaskErrors], rows: Sequence[Sequence[str]]) -> list[int]:
    """Numbers the sets of tiles, folds and labels on which the rows of a column were tested.

    The figures of a column can be compared only if they were measured on the same tiles with the same folds and labels.
    User vectors may lack some tiles, and a task may have been built again.

    Args:
        columns: column of each probe, such as its regions, way of testing and task; oldest probe first.
        errors: errors of the same probes.
        rows: names of the rows of the same probes.

    Returns:
        For each probe the number of its set in its column: 0 for the set with the most rows (of several, the one with
        the newest probe), 1 for the next one, and so on.
    """
    tested: dict[Hashable, dict[str, set[str]]] = {}
    for column, one, names in zip(columns, errors, rows, strict=True):
        sets = tested.setdefault(column, {})
        sets[one.tiles] = sets.pop(one.tiles, set()) | set(names)  # the set of the newest probe is the last one
    order = {column: _most_rows_first(sets) for column, sets in tested.items()}
    return [order[column].index(one.tiles) for column, one in zip(columns, errors, strict=True)]


def _most_rows_first(sets: Mapping[str, set[str]]) -> list[str]:
    """Returns sets of tiles, those with the most rows first. Of several, the last one of the given order is first."""
    places = {tiles: place for place, tiles in enumerate(sets)}
    return sorted(sets, key=lambda tiles: (-len(sets[tiles]), -places[tiles]))


def other_tiles(tile_set: int) -> str:
    """Returns the words that tell a table with another set of tiles, see `tile_sets`, from the first one."""
    return f" on other tiles, folds or labels ({tile_set})" if tile_set else ""
