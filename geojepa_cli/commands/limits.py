"""The filter of tiles by their number of entities: its options, and what is said where it leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import paste

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore


class Limits(NamedTuple):
    """Fewest and most entities of a tile that is kept."""

    low: int = 5
    high: int = 1250

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


DEFAULT = Limits()
Fewest = Annotated[
    int | None,
    typer.Option("--min-entities", min=0, help=f"Leave out tiles with fewer entities. Default: {DEFAULT.low}."),
]
Most = Annotated[
    int | None,
    typer.Option("--max-entities", min=1, help=f"Leave out tiles with more entities. Default: {DEFAULT.high}."),
]


def limits_of(fewest: int | None, most: int | None) -> Limits:
    """The limits that two options ask for.

    Raises:
        UsageError: the lower is above the upper.
    """
    limits = Limits(DEFAULT.low if fewest is None else fewest, DEFAULT.high if most is None else most)
    if limits.low > limits.high:
        raise UsageError(
            f"--min-entities {limits.low} is above --max-entities {limits.high}", f"--max-entities {limits.low}"
        )
    return limits


def check_some_left(store: TileStore, limits: Sequence[int], command: str) -> None:
    """Refuses limits that leave no tile of a store.

    Args:
        store: one region.
        limits: fewest and most entities.
        command: to be given other limits, for the hint.

    Raises:
        DataError: no tile is left; says how many entities the tiles have.
    """
    from geojepa_cli.store.view import View

    every = View.default(store, 0, None)
    counts = store.lengths(every)
    low, high = limits
    if ((counts >= low) & (counts <= high)).any():
        return
    names = ", ".join(f"`{region.name}`" for region in store.regions)
    if not len(counts) or not counts.max():
        again = paste("geojepa", "tile", "--region", store.regions[0].name, "--bbox=west,south,east,north")
        raise DataError(f"{names} has no tile with an entity", hint=again)
    few, most = int(counts[counts > 0].min()), int(counts.max())
    wider = f"--max-entities {most}" if most > high else f"--min-entities {few}"
    if most > high and few > low and few > high:
        has = f"all of its {len(counts):,} tiles have more ({few:,} to {most:,})"
    else:
        has = f"its {len(counts):,} tiles have {int(counts.min()):,} to {most:,}"
    raise DataError(f"no tile of {names} has {low:,} to {high:,} entities: {has}", hint=f"{command} {wider}")
