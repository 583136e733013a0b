"""Tables `scores.csv` and `queries.csv` of models that read images at points."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geojepa_cli.evaluate.entity_image import FIGURES, Cell
from geojepa_cli.evaluate.offset_curve import CURVES
from geojepa_cli.evaluate.point_groups import Figures, Row
from geojepa_cli.evaluate.retrieval_report import RANDOM

OF_SEARCHES = ("search", "scope", "queries", "groups", "model", "reading", "figure", "value", "low", "high")
OF_CURVES = ("model", "reading", "figure", "distance_m", "value", "low", "high")


def write_search_scores(path: Path, report: Mapping[str, Any]) -> None:
    """Writes one line per search, row of the table and figure.

    Args:
        path: file to write.
        report: content of `report.json`.
    """

    def lines() -> Iterator[Sequence[object]]:
        for one in report["searches"]:
            about = [one[name] for name in ("search", "scope", "queries", "groups")]
            for score in ({"model": RANDOM, "reading": "", **one["random"]}, *one["scores"]):
                for figure in FIGURES:
                    yield [*about, score["model"], score["reading"], figure, *score[figure].values()]

    _write(path, OF_SEARCHES, lines())


def write_curves(path: Path, report: Mapping[str, Any]) -> None:
    """Writes one line per row of the table, figure and distance.

    Args:
        path: file to write.
        report: content of `report.json`.
    """

    def lines() -> Iterator[Sequence[object]]:
        for score in report["scores"]:
            for figure in CURVES:
                for distance, value in zip(report["distances_m"], score[figure]["curve"], strict=True):
                    yield [score["model"], score["reading"], figure, distance, *value.values()]

    _write(path, OF_CURVES, lines())


def write_search_queries(path: Path, found: Mapping[Cell, Figures]) -> None:
    """Writes one line per search and query, with its figures in each row of the table.

    Args:
        path: file to write.
        found: figures of each search.
    """
    rows = list(next(iter(found.values())).values)
    heads = [f"{_name(row)} {figure}" for row in rows for figure in FIGURES]

    def lines() -> Iterator[Sequence[object]]:
        for cell, figures in found.items():
            yield from ([*cell, *line] for line in _queries(figures, rows))

    _write(path, ("search", "scope", "entity", "tile", *heads), lines())


def write_curve_queries(path: Path, figures: Figures, distances_m: Sequence[float]) -> None:
    """Writes one line per entity, with its figures at all distances in each row of the table.

    Args:
        path: file to write.
        figures: figures of the entities.
        distances_m: distances in metres.
    """
    rows = list(figures.values)
    columns = [f"{figure} at {distance:g} m" for figure in CURVES for distance in distances_m]
    heads = [f"{_name(row)} {column}" for row in rows for column in columns]
    _write(path, ("entity", "tile", *heads), _queries(figures, rows))


def _queries(figures: Figures, rows: Sequence[Row | None]) -> Iterator[Sequence[object]]:
    tables = [figures.of(row) for row in rows] if figures.entities else []
    for number, names in enumerate(figures.entities):
        yield [*names, *(f"{value:.6g}" for table in tables for value in table[number].tolist())]


def _name(row: Row | None) -> str:
    return RANDOM if row is None else f"{row.model} ({row.reading})"


def _write(path: Path, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(lines)
