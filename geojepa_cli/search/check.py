"""Why a query has no answer, told from the processed files alone: before anything is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.grid import TileId, parse_tile
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons

Limits = tuple[int, int | None]
MAX_NAMED = 4


class _Tiles(NamedTuple):
    """A region's tiles: columns int64 [n], tokens of each, and whether the limits keep it."""

    name: str
    z: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    tokens: NDArray[np.int64]
    kept: NDArray[np.bool_]

    def tile(self, row: int) -> str:
        return TileId(int(self.z[row]), int(self.x[row]), int(self.y[row])).name


def check_tile(stores: Sequence[RegionStore], name: str, limits: Limits) -> None:
    """Refuses a tile that is not embedded.

    Args:
        stores: the regions that are searched.
        name: such as `16_18052_25957`.
        limits: fewest and most entities of a tile that is embedded (None: no upper limit).

    Raises:
        UsageError: not a tile name.
        NotFoundError: no such tile: says the nearest one, those of the right zoom, or how many entities it has.
    """
    tile = parse_tile(name)
    regions = [_tiles(store, limits) for store in stores]
    for region in regions:
        rows = np.flatnonzero((region.z == tile.z) & (region.x == tile.x) & (region.y == tile.y))
        if len(rows) and region.kept[rows[0]]:
            return
        if len(rows):
            count = int(region.tokens[rows[0]])
            near = _nearest_tile(regions, tile)
            left = f"; the nearest that it keeps is `{near[0]}`" if near else ""
            hints = [f"geojepa knn --tile {near[0]}"] if near else []
            message = f"tile `{tile.name}` of `{region.name}` has {_entities(count)}, the filter keeps {_range(limits)}"
            raise NotFoundError(message + left, ", or ".join([*hints, *_wider(count, limits)]) or None)
    _check_zoom(regions, tile)
    close = _nearest_tile(regions, tile)
    named = _named(stores)
    if close is None:
        raise NotFoundError(f"unknown tile `{tile.name}`: no tile of {named} has {_range(limits)} entities")
    message = f"unknown tile `{tile.name}` in {named}; the nearest is `{close[0]}`, {close[1]} tiles away"
    raise NotFoundError(message, f"geojepa knn --tile {close[0]}")


def check_entity(stores: Sequence[RegionStore], ref: str, limits: Limits) -> None:
    """Refuses an element of which no piece is embedded.

    Args:
        stores: the regions that are searched.
        ref: such as `way/123`.
        limits: as in `check_tile`.

    Raises:
        UsageError: not of the form node/ID, way/ID or relation/ID.
        NotFoundError: no such entity: says the one with the nearest id, or why it is not embedded.
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
        reasons.append(_why_not(tiles, ref, rows, tokens, limits))
    if reasons:
        raise reasons[0]
    named = _named(stores)
    close = _nearest_entity(stores, osm_type, osm_id, limits)
    if close is None:
        raise NotFoundError(f"unknown entity `{ref}` in {named}")
    raise NotFoundError(
        f"unknown entity `{ref}` in {named}; the nearest id is `{close}`", f"geojepa knn --entity {close}"
    )


def parse_entity(ref: str) -> tuple[int, int]:
    """(type, id) of a reference such as `way/123`; type is 0 node, 1 way, 2 relation."""
    kind, _, number = ref.strip().partition("/")
    if kind not in OSM_TYPES or not number.isdecimal() or len(number) > 18:
        raise UsageError(
            f"`{ref}` is not an entity", "an entity is named node/ID, way/ID or relation/ID, such as way/123"
        )
    return OSM_TYPES.index(kind), int(number)


def _why_not(
    tiles: _Tiles, ref: str, rows: NDArray[np.int64], tokens: NDArray[np.bool_], limits: Limits
) -> NotFoundError:
    """The error for an element that is there: it is no token, or its tiles are left out."""
    if not tokens.any():
        name = tiles.tile(int(rows[0]))
        return NotFoundError(
            f"`{ref}` is in `{tiles.name}`, but is no token (a boundary, or it covers its tile `{name}`)"
        )
    row = int(rows[tokens][0])
    count = int(tiles.tokens[row])
    message = f"`{ref}` lies in tile `{tiles.tile(row)}` of `{tiles.name}`, which has {_entities(count)}"
    wider = [f"geojepa knn --entity {ref} {option}" for option in _wider(count, limits)]
    return NotFoundError(f"{message}; the filter keeps {_range(limits)}", wider[0] if wider else None)


def _check_zoom(regions: Sequence[_Tiles], tile: TileId) -> None:
    """Raises where no region has tiles of this zoom; names the tiles of another zoom at this place."""
    zooms = sorted({int(z) for region in regions for z in np.unique(region.z)})
    if not zooms or tile.z in zooms:
        return
    there = []
    for region in regions:
        up, down = np.maximum(region.z - tile.z, 0), np.maximum(tile.z - region.z, 0)
        inside = (region.x >> up == tile.x >> down) & (region.y >> up == tile.y >> down) & region.kept
        there += [region.tile(row) for row in np.flatnonzero(inside).tolist()]
    names = " and ".join(f"`{region.name}`" for region in regions)
    message = f"tile `{tile.name}` is of zoom {tile.z}, those of {names} are of zoom {' and '.join(map(str, zooms))}"
    near = _nearest_tile(regions, tile)
    if there:
        shown = ", ".join(f"`{name}`" for name in there[:MAX_NAMED])
        where = f"; at its place lies {shown}" if len(there) == 1 else f"; at its place lie {shown}"
        where += f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
    else:
        where = f"; none of them lies there, the nearest is `{near[0]}`" if near else ""
    close = there[0] if there else near[0] if near else None
    raise NotFoundError(message + where, f"geojepa knn --tile {close}" if close else None)


def _tiles(store: RegionStore, limits: Limits) -> _Tiles:
    ends = store["tile/pieces"].astype(np.int64)
    tokens = np.diff(np.concatenate([[0], np.cumsum(piece_reasons(store) == 0)])[ends])
    low, high = limits
    kept = (tokens >= low) & (tokens <= (high if high is not None else np.iinfo(np.int64).max))
    z, x, y = (store[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
    return _Tiles(store.name, z, x, y, tokens, kept)


def _nearest_tile(regions: Sequence[_Tiles], tile: TileId) -> tuple[str, int] | None:
    """Name of the nearest tile that is kept, and how many tiles of the query's zoom it is away."""
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


def _nearest_entity(stores: Sequence[RegionStore], osm_type: int, osm_id: int, limits: Limits) -> str | None:
    """Of the elements that are embedded, the one with the nearest id; the same id of another type comes first."""
    best: tuple[bool, int, str] | None = None
    for store in stores:
        ends = store["tile/pieces"].astype(np.int64)
        rows = np.repeat(np.arange(store.n_tiles), ends[1:] - ends[:-1])
        shown = np.unique(store["piece/object"][_tiles(store, limits).kept[rows] & (piece_reasons(store) == 0)])
        ids, types = store["object/osm_id"][shown], store["object/osm_type"][shown]
        for same_type in (True, False):
            found = np.flatnonzero((types == osm_type) if same_type else (types != osm_type) & (ids == osm_id))
            if len(found):
                row = int(found[np.argmin(np.abs(ids[found] - osm_id))])
                exact = not same_type  # the id of another type is the likeliest slip
                ref = f"{OSM_TYPES[int(types[row])]}/{int(ids[row])}"
                candidate = (not exact, abs(int(ids[row]) - osm_id), ref)
                best = min(best, candidate) if best else candidate
    return best[2] if best else None


def _wider(count: int, limits: Limits) -> list[str]:
    """The option that lets a tile of so many entities in."""
    low, high = limits
    if high is not None and count > high:
        return [f"--max-entities {count}"]
    return [f"--min-entities {count}"] if 0 < count < low else []


def _named(stores: Sequence[RegionStore]) -> str:
    return " and ".join(f"`{store.name}`" for store in stores)


def _entities(count: int) -> str:
    return f"{count} entit{'y' if count == 1 else 'ies'}"


def _range(limits: Limits) -> str:
    low, high = limits
    return f"{low} to {high}" if high is not None else f"{low} or more"
