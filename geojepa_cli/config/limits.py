"""Limits for the number of entities in a tile and for the number of cross-validation folds."""

from __future__ import annotations

from typing import NamedTuple


class EntityLimits(NamedTuple):
    """Limits for the number of entities in a tile (GeoJEPA thesis: 5 and 1250). Other tiles are not used.

    Attributes:
        low: minimum number of entities.
        high: maximum number of entities.
    """

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT_LIMITS = EntityLimits()
MAX_FOLDS = 20  # more folds cost time in every probe, and their results hardly differ
