"""Scores of models that predict labels without training, on a part of the test tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.comparison import TaskErrors, compare
from geojepa_cli.evaluate.folds import Floats, ProbeData, Rows
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.evaluate.probe import ProbeResult
from geojepa_cli.evaluate.scores import Predicted, score


def draw_tiles(groups: Rows, candidates: Rows, count: int, seed: int) -> Rows:
    """Draws representative tiles: each group has a part of the sample that is proportional to its number of tiles.

    Groups come in random order, and so do the tiles of a group. From this list, tiles at equal distances are drawn.

    Args:
        groups: group of each tile, int64 [n].
        candidates: indexes of the tiles to draw from, int64.
        count: number of tiles to draw. If there are fewer candidates, all are drawn.
        seed: random seed.

    Returns:
        Indexes of the drawn tiles in random order, int64.
    """
    rng = np.random.default_rng(seed)
    tiles = rng.permutation(candidates)
    names, inverse = np.unique(groups[tiles], return_inverse=True)
    tiles = tiles[np.argsort(rng.permutation(len(names))[inverse], kind="stable")]
    count = min(count, len(tiles))
    places = np.floor((np.arange(count) + rng.random()) * (len(tiles) / max(count, 1))).astype(np.int64)
    drawn: Rows = rng.permutation(tiles[places])
    return drawn


def clip(values: Floats, limits: tuple[float | None, float | None]) -> Floats:
    """Limits predictions to the minimum and maximum in the definition of a task. None: no limit."""
    low, high = limits
    if low is not None:
        values = np.maximum(values, low)  # NaN stays NaN
    return values if high is None else np.minimum(values, high)


def add_zero_shot(
    result: ProbeResult, data: ProbeData, label: str, values: Floats, seed: int, seeds: int
) -> tuple[ProbeResult, dict[str, Any]]:
    """Adds the row of a zero-shot model to the result of a probe, and compares it with the other rows.

    Scores and comparisons read only the tiles that the model answered. So does the error of Dummy by which its error is
    divided.

    Args:
        result: result of the probe, in which all models were tested on all tiles, or zero-shot.
        data: labels and splits of the n tiles of the task.
        label: name of the model in tables.
        values: predictions of the model, float64 [n]; NaN for tiles without an answer. At least one is not NaN.
        seed: first seed of the bootstrap.
        seeds: number of bootstraps with consecutive seeds.

    Returns:
        The result with the row, and a dict for JSON: number of tiles (`answered`) and of their groups, and in
        `compared` each other row on the same tiles, with the paired difference (row of this model minus the other row,
        relative to Dummy).
    """
    answered = np.isfinite(values)
    labels, groups = data.labels[answered], data.groups[answered].astype(np.str_)
    predicted = {key: one[:, answered] for key, one in result.predictions.items()}
    errors = {key: np.abs(one - labels).mean(axis=0) for key, one in predicted.items()}
    errors = {key: one for key, one in errors.items() if key[1] != ZERO_SHOT}
    dummy, own = errors[DUMMY, DUMMY_HEAD], np.abs(values[answered] - labels)
    row = score((label, ZERO_SHOT), Predicted(values[None]), data, answered, float(dummy.mean()), seed, seeds)
    compared = []
    for (model, head), error in errors.items():
        found: dict[str, Any] = {"model": model, "head": head, "mae": float(error.mean())}
        if float(dummy.mean()) > 0:
            both = TaskErrors("", groups, dummy, {"a": own, "b": error})
            found |= compare({"": both}, "a", "b", seed, data.random).to_json()
            found = {**found, "relative": found.pop("b")["relative"]}
            del found["a"], found["tasks"]
        compared.append(found)
    more = replace(
        result,
        scores=[*result.scores, row],
        predictions={**result.predictions, (label, ZERO_SHOT): values[None]},
    )
    return more, {"answered": int(answered.sum()), "groups": len(np.unique(groups)), "compared": compared}
