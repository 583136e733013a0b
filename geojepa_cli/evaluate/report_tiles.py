"""Predictions for single tiles in a report: scatter of predicted against true labels, error map, and worst tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.folds import Floats
from geojepa_cli.evaluate.predictions import Predictions
from geojepa_cli.grid import parse_tile

MAX_POINTS = 300  # points of a scatter plot
MAX_SQUARES = 2500  # tiles of an error map; with more, zoom-14 groups are drawn
WORST = 6
CLASSES = 5  # colours of an error map


@dataclass(frozen=True)
class RowTiles:
    """Predictions of one row (a model with a head) for n tested tiles of a task, without those removed by thinning.

    Attributes:
        row: name of the row, such as `tiny (linear)`.
        names, groups, regions: name, zoom-14 group and region of each tile, text [n].
        labels, predicted: label, and prediction before rounding (mean over seeds) of each tile, float64 [n].
        errors: absolute error of each tile, mean over seeds, float64 [n].
        distances: absolute error before predictions were rounded to 0 or 1, mean over seeds, float64 [n].
    """

    row: str
    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    regions: NDArray[np.str_]
    labels: Floats
    predicted: Floats
    errors: Floats
    distances: Floats

    @classmethod
    def of(cls, row: str, predictions: Predictions, score: Mapping[str, Any]) -> RowTiles:
        """Returns the tiles for which a row has a prediction.

        Args:
            row: name of the row.
            predictions: predictions of the probe with the row.
            score: score of the row in the report of that probe.
        """
        values = predictions.predicted[score["model"], score["head"]]
        known = predictions.kept & np.isfinite(values).all(axis=0)
        names, regions = predictions.tested[known, 0], predictions.tested[known, 1]
        labels, values = predictions.labels[known], values[:, known]
        unrounded = predictions.unrounded[score["model"], score["head"]][:, known]
        errors, distances = (np.abs(one - labels).mean(axis=0) for one in (values, unrounded))
        groups, predicted = predictions.groups[known], unrounded.mean(axis=0)
        return cls(row, names, groups, regions, labels, predicted, errors, distances)

    def worst(self, count: int = WORST) -> list[dict[str, Any]]:
        """Returns the tiles with the largest errors, largest first.

        Of equal errors, those that were larger before rounding come first, then those that come first by name.
        """
        order = np.lexsort((self.names, -self.distances, -self.errors))[:count].tolist()
        return [
            {
                "tile": str(self.names[i]),
                "region": str(self.regions[i]),
                "label": _rounded(self.labels[i]),
                "predicted": _rounded(self.predicted[i]),
                "error": _rounded(self.errors[i]),
                "unrounded_error": _rounded(self.distances[i]),
            }
            for i in order
        ]

    def sample(self, count: int = MAX_POINTS) -> NDArray[np.int64]:
        """Returns the indexes of `count` tiles, drawn at random with a fixed seed, or of all tiles. Ascending."""
        if len(self.names) <= count:
            return np.arange(len(self.names))
        return np.sort(np.random.default_rng(0).choice(len(self.names), count, replace=False))


@dataclass(frozen=True)
class ErrorMap:
    """Errors of n squares, which are tiles or, for many tiles, zoom-14 groups with the mean error of their tiles.

    Attributes:
        squares: zoom, x and y of each square, int64 [n, 3].
        errors: error of each square, float64 [n].
        bounds: upper ends of the classes of errors but the last, ascending. They divide the squares into `CLASSES`
            classes of about the same size, or fewer if many errors are equal.
        tiles: number of tiles.
        grouped: True if the squares are groups.
    """

    squares: NDArray[np.int64]
    errors: Floats
    bounds: tuple[float, ...]
    tiles: int
    grouped: bool

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class of each square, from 0 (smallest errors), int64 [n]."""
        return np.searchsorted(np.array(self.bounds), self.errors, side="left")

    def to_json(self) -> dict[str, Any]:
        """Returns the classes as a dict for JSON."""
        counts = np.bincount(self.classes, minlength=len(self.bounds) + 1).tolist()
        ends = {"lowest": _rounded(self.errors.min()), "highest": _rounded(self.errors.max())}
        square = "zoom-14 group" if self.grouped else "tile"
        return {"tiles": self.tiles, "square": square, **ends, "bounds": list(self.bounds), "squares": counts}


def error_map(tiles: RowTiles, most: int = MAX_SQUARES) -> ErrorMap:
    """Returns the errors of all tiles, or of zoom-14 groups if there are more than `most` tiles."""
    grouped = len(set(tiles.names.tolist())) > most
    names, inverse = np.unique(tiles.groups if grouped else tiles.names, return_inverse=True)
    errors = np.bincount(inverse, tiles.errors) / np.bincount(inverse)
    squares = np.array([parse_tile(name) for name in names.tolist()], np.int64).reshape(-1, 3)
    steps = np.quantile(errors, np.linspace(0, 1, CLASSES + 1)[1:-1])
    bounds = sorted({_rounded(step) for step in steps} - {_rounded(errors.max())})
    return ErrorMap(squares, errors, tuple(bounds), len(tiles.names), grouped)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
