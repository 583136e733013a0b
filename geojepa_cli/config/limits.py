"""Limits: number of entities in a tile, and number of folds."""

from __future__ import annotations

from typing import NamedTuple


class EntityLimits(NamedTuple):
    """Minimum and maximum number of entities in a tile (GeoJEPA thesis: 5 and 1250).

    Attributes:
        low: minimum number of entities; tiles with fewer are left out.
        high: maximum number of entities; tiles with more are left out.
    """

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT_LIMITS = EntityLimits()
MAX_FOLDS = 20  # more folds cost time in every probe, and their results hardly differ
