"""Precision of a ranking of tiles, and its interval over queries, for text_search.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K = 8


def precision(scores: NDArray[np.float64], truth: NDArray[np.bool_], seed: int) -> float:
    """Returns the fraction of hits among the best K tiles. Equal scores are ordered at random."""
    order = np.lexsort((np.random.default_rng(seed).random(len(scores)), -np.round(scores, 9)))[:K]
    return float(truth[order].mean())


def interval(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Returns the mean, and its 95 % bootstrap interval over queries."""
    given = np.asarray(values, np.float64)
    means = np.random.default_rng(0).choice(given, (2000, len(given))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(given.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
