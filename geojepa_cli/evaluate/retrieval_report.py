"""Content of `report.json` of retrieval, and its tables `scores.csv` and `queries.csv`."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geojepa_cli.evaluate.retrieval import FIGURES, FeatureScores, RetrievalBootstrap, Row
from geojepa_cli.metrics.bootstrap import Interval

RANDOM = "random order"
DIGITS = 6
SCORE_COLUMNS = ("feature", "averaged", "queries", "groups", "model", "space", "figure", "value", "low", "high")


def retrieval_report(features: Sequence[FeatureScores], rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Returns the part of `report.json` with figures.

    Args:
        features: features with at least one query.
        rows: rows of the table: all models in the first space, then in the next one.
        seed: random seed of the intervals.
    """
    bootstrap = RetrievalBootstrap(features, seed)
    names = [one.feature.name for one in features]

    def mean(row: Row | None) -> dict[str, Any]:
        return {figure: _rounded(bootstrap.mean(row, place)) for place, figure in enumerate(FIGURES)}

    def of_feature(number: int, row: Row | None) -> dict[str, Any]:
        return {figure: _rounded(bootstrap.feature(number, row, place)) for place, figure in enumerate(FIGURES)}

    def difference(a: Row, b: Row) -> dict[str, Any]:
        found = {figure: _rounded(bootstrap.mean(a, place, b)) for place, figure in enumerate(FIGURES)}
        return {"a": a._asdict(), "b": b._asdict(), **found}

    scores = []
    for row in rows:
        by_feature = {name: of_feature(number, row) for number, name in enumerate(names)}
        scores.append({**row._asdict(), **mean(row), "features": by_feature})
    return {
        "groups": bootstrap.groups,
        "features": [{**_describe(one), "random": of_feature(number, None)} for number, one in enumerate(features)],
        "random": mean(None),
        "scores": scores,
        "differences": [difference(a, b) for a, b in _pairs(rows)] if bootstrap.groups else [],
    }


def write_scores(path: Path, report: Mapping[str, Any]) -> None:
    """Writes one line per feature, model, space and figure; the feature `mean` is the mean over averaged features.

    Args:
        path: file to write.
        report: content of `report.json`.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SCORE_COLUMNS)
        about = {one["name"]: one for one in report["features"]}
        chance = {"model": RANDOM, "space": "", "features": {name: one["random"] for name, one in about.items()}}
        for score in ({**chance, **report["random"]}, *report["scores"]):
            for name, figures in (("mean", score), *score["features"].items()):
                one = about.get(name, {"averaged": True, "queries": "", "groups": report["groups"]})
                facts = [name, one["averaged"], one["queries"], one["groups"], score["model"], score["space"]]
                for figure in FIGURES:
                    if (value := figures[figure]) is not None:
                        writer.writerow([*facts, figure, value["value"], value["low"], value["high"]])


def write_queries(
    path: Path, features: Sequence[FeatureScores], rows: Sequence[Row], places: Mapping[str, Sequence[str]]
) -> None:
    """Writes one line per feature and query, with the average precision and the hits of each row of the table.

    Args:
        path: file to write.
        features: features with at least one query.
        rows: rows of the table.
        places: texts of each searched tile or entity, by column name, such as `tile`, `region` and `group`.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = [f"{row.model} ({row.space}) {figure}" for row in rows for figure in FIGURES]
        writer.writerow(["feature", *places, *(f"{RANDOM} {figure}" for figure in FIGURES), *heads])
        for one in features:
            tables = [one.random, *(one.figures[row] for row in rows)]
            for number, query in enumerate(one.queries.tolist()):
                texts = [column[query] for column in places.values()]
                figures = [f"{value:.6g}" for table in tables for value in table[number].tolist()]
                writer.writerow([one.feature.name, *texts, *figures])


def _describe(one: FeatureScores) -> dict[str, Any]:
    return {
        "name": one.feature.name,
        "title": one.feature.title,
        "with_feature": int(one.feature.relevant.sum()),
        "queries": len(one.queries),
        "groups": one.n_groups,
        "averaged": one.averaged,
    }


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Returns all pairs of models in the same space, then all pairs of spaces of the same model."""
    pairs = list(itertools.combinations(rows, 2))
    return [(a, b) for a, b in pairs if a.space == b.space] + [(b, a) for a, b in pairs if a.model == b.model]


def _rounded(interval: Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {name: round(float(getattr(interval, name)), DIGITS) for name in ("value", "low", "high")}
