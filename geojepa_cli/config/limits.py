"""Minimum and maximum number of entities that a tile must have to be used."""

from __future__ import annotations

from typing import NamedTuple


class EntityLimits(NamedTuple):
    """Minimum and maximum number of entities that a tile must have to be used (GeoJEPA thesis: 5 and 1250).

    Attributes:
        low: minimum number of entities. Tiles with fewer entities are left out.
        high: maximum number of entities. Tiles with more entities are left out.
    """

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT_LIMITS = EntityLimits()
