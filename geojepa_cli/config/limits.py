"""Limits for the number of entities in a tile, and for cross-validation."""

from __future__ import annotations

from typing import NamedTuple


class EntityLimits(NamedTuple):
    """Limits for the number of entities in a tile. Tiles with fewer or more entities are not used.

    The GeoJEPA thesis uses tiles with 5 to 1250 entities.

    Attributes:
        low: minimum number of entities.
        high: maximum number of entities.
    """

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT_LIMITS = EntityLimits()
FOLDS = 5  # of cross-validation
MIN_GROUPS = 3  # zoom-14 groups for cross-validation
MIN_TILES = 20  # labelled tiles for a probe
MAX_FOLDS = 20  # more folds cost time in every probe, and their results hardly differ
