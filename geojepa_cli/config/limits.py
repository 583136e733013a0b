"""Limits on the number of entities of a tile."""

from __future__ import annotations

from typing import NamedTuple


class EntityLimits(NamedTuple):
    """Smallest and largest number of entities of a tile that is kept (thesis: 5 to 1250).

    Attributes:
        low: tiles with fewer are left out.
        high: tiles with more are left out.
    """

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT_LIMITS = EntityLimits()
