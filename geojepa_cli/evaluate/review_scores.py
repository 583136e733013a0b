"""Ranks reviewed entities by how much more likely another class is than the present one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.entity_parts import Rows

Floats = NDArray[np.float64]

RARITY = 0.5  # exponent of the share of the present class, see `surprise`


@dataclass(frozen=True)
class Surprise:
    """Disagreement between the present class and the prediction, for each of n rows.

    Attributes:
        score: logarithm to base 2 of the odds of the best other class against the present one, corrected for rare
            classes, [n]. Above 0 if the other class is more likely.
        best: the most likely other class, int64 [n].
    """

    score: Floats
    best: Rows


def surprise(probabilities: Floats, labels: Rows, shares: Floats, candidates: int) -> Surprise:
    """Returns the surprise of each row.

    The score is log2(p(best) / p(present)) + `RARITY` · log2(share of the present class). The first part alone is high
    for every entity of a rare class, right or wrong, because no surroundings make a rare class likely. If errors
    produced values as often as they occur in the region, the exponent 1 would rank by the probability of an error; if
    errors produced all values equally often, 0 would (Bayes' rule, with p(present) as the probability that the value is
    right). The truth is between the two.

    Args:
        probabilities: probability of each predicted class, all above 0, [n, classes].
        labels: present class of each row, int64 [n].
        shares: share of each class in the region, [classes].
        candidates: number of classes that can be suggested: the first ones.
    """
    rows = np.arange(len(labels))
    present = probabilities[rows, labels]
    others = probabilities[:, :candidates].copy()
    inside = labels < candidates
    others[rows[inside], labels[inside]] = 0.0
    best = others.argmax(axis=1)
    odds = np.log2(np.maximum(others[rows, best], 1e-12) / present)
    return Surprise(odds + RARITY * np.log2(shares[labels]), best)
