"""Limits for the number of entities in a tile: tiles with fewer or more entities are not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore


def entity_limits(low: int | None, high: int | None) -> EntityLimits:
    """Returns the limits from the options `--min-entities` and `--max-entities`. None selects the default.

    Raises:
        UsageError: the minimum is greater than the maximum.
    """
    limits = EntityLimits(
        DEFAULT_LIMITS.low if low is None else low,
        DEFAULT_LIMITS.high if high is None else high,
    )
    if limits.low > limits.high:
        raise UsageError(
            f"`--min-entities {limits.low}` is greater than `--max-entities {limits.high}`",
            hints.again(max_entities=limits.low),
        )
    return limits


def limits_beyond_default(limits: EntityLimits) -> dict[str, int]:
    """Returns the limits that differ from the default, as parameters of an artifact."""
    given = {"min_entities": limits.low, "max_entities": limits.high}
    default = {"min_entities": DEFAULT_LIMITS.low, "max_entities": DEFAULT_LIMITS.high}
    return {name: value for name, value in given.items() if value != default[name]}


def check_tiles_left(store: TileStore, limits: EntityLimits) -> None:
    """Checks that a region has at least one tile whose number of entities is within the limits.

    Args:
        store: opened file `processed.h5` of one region.
        limits: minimum and maximum number of entities in a tile.

    Raises:
        DataError: no tile is within the limits. The message contains the smallest and the largest number of entities
            in a tile of the region.
    """
    from geojepa_cli.store.view import View

    counts = store.lengths(View.default(store, 0, None))
    if ((counts >= limits.low) & (counts <= limits.high)).any():
        return
    region = store.regions[0].name
    if not len(counts) or not counts.max():
        hint = hints.run("tile", region=region, bbox="WEST,SOUTH,EAST,NORTH")
        raise DataError(f"no tile of the region `{region}` contains an entity", hint)
    fewest, most = int(counts[counts > 0].min()), int(counts.max())
    tiles, have = ("the only tile", "has") if len(counts) == 1 else (f"the {len(counts):,} tiles", "have")
    wider = hints.again(max_entities=most) if most > limits.high else hints.again(min_entities=fewest)
    if most > limits.high and fewest > limits.high:
        found = f"{tiles} {have} more ({fewest:,} to {most:,})"
    else:
        found = f"{tiles} {have} {int(counts.min()):,} to {most:,} entities"
    raise DataError(f"no tile of the region `{region}` has {limits} entities: {found}", wider)
