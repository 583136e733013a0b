"""Scores of zero-shot models, which predict labels without training. They are tested on a sample of the test tiles."""

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
    """Draws a sample of tiles. Each group has about the same share of the sample as of the tiles to draw from.

    First, all tiles are listed group by group, with groups and the tiles of a group in random order. Then tiles at
    equal distances in this list are drawn.

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
    """Adds a zero-shot model to the result of a probe, and compares it with the other models.

    All errors are computed on the tiles for which the zero-shot model gave an answer. Relative errors are divided by
    the error of Dummy on these tiles.

    Args:
        result: result of the probe.
        data: labels and splits of the n tiles of the task.
        label: name of the model in tables.
        values: predictions of the model, float64 [n]; NaN for tiles without an answer. At least one is not NaN.
        seed: first seed of the bootstrap.
        seeds: number of bootstraps with consecutive seeds.

    Returns:
        The result, to which the score and the predictions of the zero-shot model are added; and a dict for JSON. In
        this dict, `answered` and `groups` are the numbers of tiles with an answer and of their groups. `compared` has
        one entry for each other model that is not zero-shot: its error, and the error of the zero-shot model minus this
        error, relative to Dummy.
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
