"""Checks before a search that the query tile or query entity exists in a region and is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.grid import TileId, parse_tile
from geojepa_cli.hints import Hint
from geojepa_cli.store import csr
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons

MAX_NAMED = 4


class _Tiles(NamedTuple):
    """The n tiles of a region.

    Attributes:
        name: name of the region.
        z, x, y: zoom, column and row of each tile, int64 [n].
        tokens: number of entities in each tile, int64 [n]. Each entity is one token of the model.
        kept: True for tiles that are embedded, because their number of entities is within the limits, bool [n].
    """

    name: str
    z: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    tokens: NDArray[np.int64]
    kept: NDArray[np.bool_]

    def tile(self, row: int) -> str:
        return TileId(int(self.z[row]), int(self.x[row]), int(self.y[row])).name


def check_tile(stores: Sequence[RegionStore], name: str, limits: EntityLimits, option: str = "--tile") -> None:
    """Checks that a tile exists and has a number of entities within the limits, so that it is embedded.

    Args:
        stores: opened `processed.h5` of each region to search.
        name: name of the tile, such as `16_18052_25957`.
        limits: minimum and maximum number of entities in a tile. Tiles with fewer or more entities are not embedded.
        option: option that has the tile, for hints.

    Raises:
        UsageError: `name` is not a tile name.
        NotFoundError: the tile exists but is not embedded, or the tile does not exist. In the first case, the message
            states the number of entities of the tile. In the second case, the message names the nearest embedded tile,
            or embedded tiles of another zoom at the same place.
    """
    tile = parse_tile(name)
    regions = [_tiles(store, limits) for store in stores]
    for region in regions:
        rows = np.flatnonzero((region.z == tile.z) & (region.x == tile.x) & (region.y == tile.y))
        if not len(rows):
            continue
        if region.kept[rows[0]]:
            return
        raise _left_out(regions, region, tile, int(region.tokens[rows[0]]), limits, (option, name))
    _check_zoom(regions, tile, (option, name))
    close = _nearest_tile(regions, tile)
    named = _named(stores)
    if close is None:
        most = max((int(region.tokens.max()) for region in regions if len(region.tokens)), default=0)
        message = f"unknown tile `{tile.name}`; no tile of {named} has {limits} entities"
        raise NotFoundError(message, _wider(most, limits) or hints.run("tile"))
    message = f"unknown tile `{tile.name}` in {named}; the nearest tile is `{close[0]}`, {close[1]} tiles away"
    raise NotFoundError(message, hints.instead((option, name), (option, close[0])))


def check_entity(stores: Sequence[RegionStore], ref: str, limits: EntityLimits, option: str = "--entity") -> None:
    """Checks that an OSM element exists and is embedded in at least one tile.

    Args:
        stores: opened `processed.h5` of each region to search.
        ref: type and id of the element, such as `way/123`.
        limits: minimum and maximum number of entities in a tile. Tiles with fewer or more entities are not embedded.
        option: option that has the element, for hints.

    Raises:
        UsageError: `ref` does not have the form `node/ID`, `way/ID` or `relation/ID`.
        NotFoundError: the element does not exist, or is not embedded. In the first case, the message names an embedded
            element with the same or the nearest id. In the second case, the message states why the element is not
            embedded.
    """
    osm_type, osm_id = parse_entity(ref)
    reasons = []
    for store in stores:
        objects = np.flatnonzero((store["object/osm_id"] == osm_id) & (store["object/osm_type"] == osm_type))
        pieces = np.flatnonzero(np.isin(store["piece/object"], objects)) if len(objects) else objects
        if not len(pieces):
            continue
        tiles = _tiles(store, limits)
        rows = np.searchsorted(store["tile/pieces"], pieces, side="right") - 1
        tokens = piece_reasons(store)[pieces] == 0
        if (tiles.kept[rows] & tokens).any():
            return
        reasons.append(_entity_left_out(tiles, ref, rows, tokens, limits, option))
    if reasons:
        raise reasons[0]
    named = _named(stores)
    close = _nearest_entity(stores, osm_type, osm_id, limits)
    if close is None:
        raise NotFoundError(f"unknown entity `{ref}` in {named}", existing_query(stores, limits, (option, ref)))
    message = f"unknown entity `{ref}` in {named}; the nearest id is `{close}`"
    raise NotFoundError(message, hints.instead((option, ref), (option, close)))


def existing_query(stores: Sequence[RegionStore], limits: EntityLimits, wrong: tuple[str, str] | None) -> Hint:
    """Returns a command to suggest to a user whose search has a missing or malformed query.

    The command repeats the search with a query that exists: an entity if the wrong query has a `/` or the option
    `--entity`, a tile otherwise. If no tile is embedded, the suggested command is `geojepa artifacts`.

    Args:
        stores: opened `processed.h5` of each region from which the query comes.
        limits: minimum and maximum number of entities in a tile. Tiles with fewer or more entities are not embedded.
        wrong: option and text of the wrong query, as the user typed it; None if there is no query.
    """
    for store in stores:
        tiles = _tiles(store, limits)
        rows = np.flatnonzero(tiles.kept)
        if not len(rows):
            continue
        if wrong is None:
            return hints.again(tile=tiles.tile(int(rows[0])))
        option, text = wrong
        if option != "--entity" and "/" not in text:
            return hints.instead(wrong, (option, tiles.tile(int(rows[0]))))
        shown = (csr.parents(store["tile/pieces"]) == rows[0]) & (piece_reasons(store) == 0)
        first = int(store["piece/object"][np.flatnonzero(shown)[0]])
        kind, number = OSM_TYPES[int(store["object/osm_type"][first])], int(store["object/osm_id"][first])
        return hints.instead(wrong, (option, f"{kind}/{number}"))
    return hints.run("artifacts")


def parse_entity(ref: str) -> tuple[int, int]:
    """Parses the type and id of an OSM element from a text such as `way/123`.

    Returns:
        Element type (0 node, 1 way, 2 relation) and OSM id.

    Raises:
        UsageError: `ref` does not have the form `node/ID`, `way/ID` or `relation/ID`.
    """
    kind, _, number = ref.strip().partition("/")
    if kind not in OSM_TYPES or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        message = f"`{ref}` is not an entity: expected node/ID, way/ID or relation/ID"
        raise UsageError(message)
    return OSM_TYPES.index(kind), int(number)


def _left_out(
    regions: Sequence[_Tiles], region: _Tiles, tile: TileId, count: int, limits: EntityLimits, wrong: tuple[str, str]
) -> NotFoundError:
    """Returns the error for a tile that is not embedded because it has too few or too many entities."""
    near, wider = _nearest_tile(regions, tile), _wider(count, limits)
    message = f"tile `{tile.name}` of `{region.name}` has {_entities(count)}, but only tiles with {limits} are embedded"
    if near is None:
        return NotFoundError(message, wider or hints.run("tile"))
    hint = hints.instead(wrong, (wrong[0], near[0]))
    return NotFoundError(f"{message}; the nearest embedded tile is `{near[0]}`", hint.or_else(wider) if wider else hint)


def _entity_left_out(
    tiles: _Tiles, ref: str, rows: NDArray[np.int64], tokens: NDArray[np.bool_], limits: EntityLimits, option: str
) -> NotFoundError:
    """Returns the error for an OSM element that has no vector.

    Elements that are not entities, such as boundaries and areas that cover a whole tile, have no vector. An entity has
    no vector if all tiles that contain it have too few or too many entities to be embedded.
    """
    if not tokens.any():
        name = tiles.tile(int(rows[0]))
        message = f"`{ref}` of `{tiles.name}` has no vector: it is a boundary, or covers the whole tile `{name}`"
        return NotFoundError(
            message, hints.instead((option, ref), ("--tile" if option == "--entity" else option, name))
        )
    row = int(rows[tokens][0])
    count = int(tiles.tokens[row])
    message = f"`{ref}` is in tile `{tiles.tile(row)}` of `{tiles.name}`, which has {_entities(count)}"
    message += f"; only tiles with {limits} are embedded"
    return NotFoundError(message, _wider(count, limits) or hints.run("tile"))


def _check_zoom(regions: Sequence[_Tiles], tile: TileId, wrong: tuple[str, str]) -> None:
    """Checks that at least one region has tiles of the same zoom as the query tile.

    Raises:
        NotFoundError: no region has tiles of this zoom. The message names the tiles of another zoom at the same place.
    """
    zooms = sorted({int(z) for region in regions for z in np.unique(region.z)})
    if not zooms or tile.z in zooms:
        return
    there = []
    for region in regions:
        up, down = np.maximum(region.z - tile.z, 0), np.maximum(tile.z - region.z, 0)
        inside = (region.x >> up == tile.x >> down) & (region.y >> up == tile.y >> down) & region.kept
        there += [region.tile(row) for row in np.flatnonzero(inside).tolist()]
    names = " and ".join(f"`{region.name}`" for region in regions)
    message = f"tile `{tile.name}` has zoom {tile.z}, but tiles of {names} have zoom {' and '.join(map(str, zooms))}"
    near = _nearest_tile(regions, tile)
    if there:
        shown = ", ".join(f"`{name}`" for name in there[:MAX_NAMED])
        where = f"; tiles at the same place: {shown}"
        where += f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
    else:
        where = f"; there are no tiles at this place, the nearest tile is `{near[0]}`" if near else ""
    close = there[0] if there else near[0] if near else None
    hint = hints.instead(wrong, (wrong[0], close)) if close else hints.run("tile", zoom=tile.z)
    raise NotFoundError(message + where, hint)


def _tiles(store: RegionStore, limits: EntityLimits) -> _Tiles:
    ends = store["tile/pieces"].astype(np.int64)
    tokens = np.diff(csr.offsets(piece_reasons(store) == 0)[ends])
    kept = (tokens >= limits.low) & (tokens <= limits.high)
    z, x, y = (store[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
    return _Tiles(store.name, z, x, y, tokens, kept)


def _nearest_tile(regions: Sequence[_Tiles], tile: TileId) -> tuple[str, int] | None:
    """Returns the embedded tile nearest to the query tile, and the distance between them in tiles of the query's zoom.

    Returns None if no tile is embedded.
    """
    best: tuple[int, str] | None = None
    for region in regions:
        rows = np.flatnonzero(region.kept)
        if not len(rows):
            continue
        scale = np.exp2(tile.z - region.z[rows].astype(np.float64))
        dx, dy = (np.abs(column[rows] * scale - own) for column, own in ((region.x, tile.x), (region.y, tile.y)))
        row = int(np.argmin(np.hypot(dx, dy)))
        candidate = (int(np.ceil(max(dx[row], dy[row]))), region.tile(int(rows[row])))
        best = min(best, candidate) if best else candidate
    return (best[1], best[0]) if best else None


def _nearest_entity(stores: Sequence[RegionStore], osm_type: int, osm_id: int, limits: EntityLimits) -> str | None:
    """Returns an embedded OSM element to suggest instead of an element that no region contains.

    This is the embedded element of another type with the same id, if there is one. Otherwise, it is the embedded
    element of the same type with the nearest id. Returns None if there is neither.
    """
    best: tuple[bool, int, str] | None = None
    for store in stores:
        rows = csr.parents(store["tile/pieces"])
        shown = np.unique(store["piece/object"][_tiles(store, limits).kept[rows] & (piece_reasons(store) == 0)])
        ids, types = store["object/osm_id"][shown], store["object/osm_type"][shown]
        for same_type in (True, False):
            found = np.flatnonzero((types == osm_type) if same_type else (types != osm_type) & (ids == osm_id))
            if len(found):
                row = int(found[np.argmin(np.abs(ids[found] - osm_id))])
                ref = f"{OSM_TYPES[int(types[row])]}/{int(ids[row])}"
                # An element with the same id and another type is preferred: a wrong type is the most likely mistake.
                candidate = (same_type, abs(int(ids[row]) - osm_id), ref)
                best = min(best, candidate) if best else candidate
    return best[2] if best else None


def _wider(count: int, limits: EntityLimits) -> Hint | None:
    """Returns the user's search command with another limit, so that tiles with `count` entities are embedded too.

    If `count` is below the minimum of `limits`, the command has a lower `--min-entities`. If `count` is above the
    maximum, the command has a higher `--max-entities`. Returns None if `count` is 0 or within `limits`.
    """
    if count > limits.high:
        return hints.again(max_entities=count)
    return hints.again(min_entities=count) if 0 < count < limits.low else None


def _named(stores: Sequence[RegionStore]) -> str:
    return " and ".join(f"`{store.name}`" for store in stores)


def _entities(count: int) -> str:
    return f"{count:,} entit{'y' if count == 1 else 'ies'}"
