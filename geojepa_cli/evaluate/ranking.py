"""The best row of a column of scores, and whether its paired interval excludes the next best row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geojepa_cli.config.images import RANDOM_LABEL
from geojepa_cli.evaluate.comparison import Comparison, TaskErrors, compare, shared_errors


@dataclass(frozen=True)
class Best:
    """The best row of a column, and the next best one.

    Attributes:
        row: row with the lowest value.
        next: row with the next lowest value; None if there is no other row.
        comparison: paired difference of the two rows; None if they were not tested on the same tiles.
    """

    row: str
    next: str | None = None
    comparison: Comparison | None = None

    @property
    def proven(self) -> bool:
        """True if the paired interval of the difference to the next best row excludes 0. Such a value is bold.

        It is False for a random split, and for tiles in fewer than 20 zoom-14 tiles.
        """
        return self.comparison is not None and self.comparison.verdict == "a is better"

    def to_json(self) -> dict[str, Any]:
        """Returns the best row as a dict for JSON."""
        interval = self.comparison.difference if self.comparison else None
        return {
            "row": self.row,
            "next": self.next,
            "difference": interval and {"value": interval.value, "low": interval.low, "high": interval.high},
            "groups": interval and interval.groups,
            "bold": self.proven,
        }


def is_ranked(row: str) -> bool:
    """Returns False for a row that stands outside the ranking: a model whose image encoder has random weights."""
    return f"({RANDOM_LABEL})" not in row


def find_best(values: Mapping[str, float], errors: Mapping[str, Sequence[TaskErrors]], random: bool) -> Best | None:
    """Finds the best row of a column, and compares it with the next best one.

    The next best row may be the same model with another head.

    Args:
        values: value of every row, lower is better. Rows that are not ranked are ignored.
        errors: errors of the probes of each task of the column, oldest probe first.
        random: True if each tile was assigned to a split separately.

    Returns:
        The best row. None if no row is ranked.
    """
    order = sorted((value, row) for row, value in values.items() if is_ranked(row) and np.isfinite(value))
    if not order:
        return None
    (_, first), *others = order
    if not others:
        return Best(first)
    second = others[0][1]
    shared = shared_errors(errors, first, second)
    if len(shared) < len(errors) or not any(task.dummy.sum() > 0 for task in shared.values()):
        return Best(first, second)
    return Best(first, second, compare(shared, first, second, random=random))
