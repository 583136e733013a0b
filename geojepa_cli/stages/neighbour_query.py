"""Checks the query of a search for neighbours, before embeddings are computed."""

from __future__ import annotations

from collections.abc import Sequence

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.alpha import check_alpha
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact


def check_options(tile: str | None, entity: str | None, alpha: float) -> None:
    """Checks that the query is not both a tile and an entity, and that alpha is given for entities only.

    Raises:
        UsageError: options cannot be combined, or `alpha` is not a number from 0 to 1.
    """
    if tile is not None and entity is not None:
        raise UsageError("`--tile` cannot be combined with `--entity`", hints.instead(("--entity", entity)))
    if tile is not None and check_alpha(alpha):
        message = "`--alpha` cannot be combined with `--tile`: it only changes vectors of entities"
        raise UsageError(message, hints.again(alpha=0))


def check_form(regions: Sequence[Artifact], tile: str | None, entity: str | None, limits: EntityLimits) -> None:
    """Checks that a query tile or entity is given, and is written like `16_18052_25957` or `way/123`.

    Raises:
        UsageError: neither is given, or the text has another format. The hint repeats the command with a tile or entity
            that exists in the regions.
    """
    from geojepa_cli.grid import parse_tile
    from geojepa_cli.search.check import existing_query, parse_entity
    from geojepa_cli.store.reader import RegionStore

    try:
        if tile is not None:
            parse_tile(tile)
        elif entity is not None:
            parse_entity(entity)
        else:
            raise UsageError("`--tile` or `--entity` is required")
    except UsageError as error:
        with rebuilding(*regions):
            stores = [RegionStore(region.file(PROCESSED_FILE), region.name) for region in regions]
            raise UsageError(error.message, existing_query(stores, limits, entity)) from None


def check_query(regions: Sequence[Artifact], tile: str | None, entity: str | None, limits: EntityLimits) -> None:
    """Checks that the query tile or entity exists, and that each region has a tile within the limits.

    This runs before embeddings are computed, which can take minutes.
    """
    from geojepa_cli.search.check import check_entity, check_tile
    from geojepa_cli.store.reader import RegionStore
    from geojepa_cli.store.store import TileStore

    stores = [RegionStore(region.file(PROCESSED_FILE), region.name) for region in regions]
    if tile is not None:
        check_tile(stores, tile, limits)
    else:
        check_entity(stores, entity or "", limits)
    for region in regions:
        alone = TileStore.open([region.file(PROCESSED_FILE)], names=[region.name])
        check_tiles_left(alone, limits)
