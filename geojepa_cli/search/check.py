"""Checks of a query against the processed files, before anything is embedded."""

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
    """The tiles of a region.

    Attributes:
        name: of the region.
        z, x, y: int64 [n].
        tokens: number of entities of each.
        kept: True where the limits keep it.
    """

    name: str
    z: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    tokens: NDArray[np.int64]
    kept: NDArray[np.bool_]

    def tile(self, row: int) -> str:
        return TileId(int(self.z[row]), int(self.x[row]), int(self.y[row])).name


def check_tile(stores: Sequence[RegionStore], name: str, limits: EntityLimits) -> None:
    """Checks that a tile is embedded.

    Args:
        stores: the regions that are searched.
        name: such as `16_18052_25957`.
        limits: on the number of entities of an embedded tile.

    Raises:
        UsageError: not a tile name.
        NotFoundError: no such tile; the message has the nearest one, those of the right zoom, or its number of
            entities.
    """
    tile = parse_tile(name)
    regions = [_tiles(store, limits) for store in stores]
    for region in regions:
        rows = np.flatnonzero((region.z == tile.z) & (region.x == tile.x) & (region.y == tile.y))
        if not len(rows):
            continue
        if region.kept[rows[0]]:
            return
        raise _left_out(regions, region, tile, int(region.tokens[rows[0]]), limits)
    _check_zoom(regions, tile)
    close = _nearest_tile(regions, tile)
    named = _named(stores)
    if close is None:
        most = max((int(region.tokens.max()) for region in regions if len(region.tokens)), default=0)
        message = f"unknown tile `{tile.name}`: no tile of {named} has {limits} entities"
        raise NotFoundError(message, _wider(most, limits) or hints.run("tile"))
    message = f"unknown tile `{tile.name}` in {named}; the nearest is `{close[0]}`, {close[1]} tiles away"
    raise NotFoundError(message, hints.run("knn", tile=close[0]))


def check_entity(stores: Sequence[RegionStore], ref: str, limits: EntityLimits) -> None:
    """Checks that a piece of an element is embedded.

    Args:
        stores: the regions that are searched.
        ref: such as `way/123`.
        limits: on the number of entities of an embedded tile.

    Raises:
        UsageError: not of the form node/ID, way/ID or relation/ID.
        NotFoundError: no such entity; the message has the one with the nearest id, or why it is not embedded.
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
        reasons.append(_entity_left_out(tiles, ref, rows, tokens, limits))
    if reasons:
        raise reasons[0]
    named = _named(stores)
    close = _nearest_entity(stores, osm_type, osm_id, limits)
    if close is None:
        raise NotFoundError(f"unknown entity `{ref}` in {named}", hints.run("artifacts"))
    message = f"unknown entity `{ref}` in {named}; the nearest id is `{close}`"
    raise NotFoundError(message, hints.run("knn", entity=close))


def parse_entity(ref: str) -> tuple[int, int]:
    """Parses a reference such as `way/123`.

    Returns:
        Type (0 node, 1 way, 2 relation) and id.

    Raises:
        UsageError: not of this form.
    """
    kind, _, number = ref.strip().partition("/")
    if kind not in OSM_TYPES or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        message = f"`{ref}` is not an entity: expected node/ID, way/ID or relation/ID"
        raise UsageError(message, hints.again(entity="way/123"))
    return OSM_TYPES.index(kind), int(number)


def _left_out(
    regions: Sequence[_Tiles], region: _Tiles, tile: TileId, count: int, limits: EntityLimits
) -> NotFoundError:
    """Builds the error for a tile that the limits leave out."""
    near, wider = _nearest_tile(regions, tile), _wider(count, limits)
    message = f"tile `{tile.name}` of `{region.name}` has {_entities(count)}, the filter keeps {limits}"
    if near is None:
        return NotFoundError(message, wider or hints.run("tile"))
    hint = hints.run("knn", tile=near[0])
    return NotFoundError(
        f"{message}; the nearest tile that it keeps is `{near[0]}`", hint.or_else(wider) if wider else hint
    )


def _entity_left_out(
    tiles: _Tiles, ref: str, rows: NDArray[np.int64], tokens: NDArray[np.bool_], limits: EntityLimits
) -> NotFoundError:
    """Builds the error for an element that is no token, or whose tiles are left out."""
    if not tokens.any():
        name = tiles.tile(int(rows[0]))
        message = f"`{ref}` is in `{tiles.name}`, but has no vector: it is a boundary, or covers its tile `{name}`"
        return NotFoundError(message, Hint("knn", (("--tile", name),)))
    row = int(rows[tokens][0])
    count = int(tiles.tokens[row])
    message = f"`{ref}` lies in tile `{tiles.tile(row)}` of `{tiles.name}`, which has {_entities(count)}"
    return NotFoundError(f"{message}; the filter keeps {limits}", _wider(count, limits) or hints.run("tile"))


def _check_zoom(regions: Sequence[_Tiles], tile: TileId) -> None:
    """Raises where no region has tiles of this zoom; the message has the tiles of another zoom at the same place."""
    zooms = sorted({int(z) for region in regions for z in np.unique(region.z)})
    if not zooms or tile.z in zooms:
        return
    there = []
    for region in regions:
        up, down = np.maximum(region.z - tile.z, 0), np.maximum(tile.z - region.z, 0)
        inside = (region.x >> up == tile.x >> down) & (region.y >> up == tile.y >> down) & region.kept
        there += [region.tile(row) for row in np.flatnonzero(inside).tolist()]
    names = " and ".join(f"`{region.name}`" for region in regions)
    message = f"tile `{tile.name}` has zoom {tile.z}, those of {names} have zoom {' and '.join(map(str, zooms))}"
    near = _nearest_tile(regions, tile)
    if there:
        shown = ", ".join(f"`{name}`" for name in there[:MAX_NAMED])
        where = f"; at the same place: {shown}"
        where += f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
    else:
        where = f"; they have none at this place, the nearest is `{near[0]}`" if near else ""
    close = there[0] if there else near[0] if near else None
    hint = hints.run("knn", tile=close) if close else hints.run("tile", zoom=tile.z)
    raise NotFoundError(message + where, hint)


def _tiles(store: RegionStore, limits: EntityLimits) -> _Tiles:
    ends = store["tile/pieces"].astype(np.int64)
    tokens = np.diff(csr.offsets(piece_reasons(store) == 0)[ends])
    kept = (tokens >= limits.low) & (tokens <= limits.high)
    z, x, y = (store[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
    return _Tiles(store.name, z, x, y, tokens, kept)


def _nearest_tile(regions: Sequence[_Tiles], tile: TileId) -> tuple[str, int] | None:
    """Returns the nearest tile that is kept, and its distance in tiles of the query's zoom."""
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
    """Returns the embedded element with the nearest id; the same id of another type comes first."""
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
                # a wrong type is the likeliest slip
                candidate = (same_type, abs(int(ids[row]) - osm_id), ref)
                best = min(best, candidate) if best else candidate
    return best[2] if best else None


def _wider(count: int, limits: EntityLimits) -> Hint | None:
    """Returns the failed command with limits that keep a tile of so many entities, or None where that has none."""
    if count > limits.high:
        return hints.again(max_entities=count)
    return hints.again(min_entities=count) if 0 < count < limits.low else None


def _named(stores: Sequence[RegionStore]) -> str:
    return " and ".join(f"`{store.name}`" for store in stores)


def _entities(count: int) -> str:
    return f"{count:,} entit{'y' if count == 1 else 'ies'}"
