"""Draws the map of a tile as SVG: areas, water, roads by class, buildings, points and street names.

Coordinates are in metres, with north up. Nothing outside the tile is drawn. Text from OSM is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.pages.neighbours.style import (
    BRIDGE,
    LAND,
    RAIL,
    ROADS,
    TUNNEL,
    Style,
    area_style,
    line_style,
    point_style,
)
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT, MapObject, TileMap

Points = NDArray[np.float64]

HIGHLIGHT = "#d5006d"
LABEL_SIZE_M = 11.0
MAX_LABELS = 7
# line widths are chosen for tiles of zoom 16; on larger tiles they are scaled up, so that roads stay visible
_REFERENCE_TILE_M = 480.0


@dataclass(frozen=True)
class _Shape:
    """The areas, lines or points of one OSM element on the map, in SVG coordinates.

    Attributes:
        style: colours and widths of the shape.
        path: SVG path data of areas and lines. Empty for points.
        size: area in m² or length in m. Larger shapes are painted first.
        points: positions of points (x, y), in metres from the north-west corner.
    """

    style: Style
    path: str
    size: float
    points: tuple[tuple[float, float], ...] = ()


def draw_tile(
    tile: TileMap,
    highlight: str | None = None,
    label: str = "",
    uid: str = "",
    window: tuple[float, float, float] | None = None,
) -> str:
    """Draws the map of a tile.

    Args:
        tile: OSM elements of the tile.
        highlight: OSM element to highlight, such as `way/123`, or None.
        label: description of the map for screen readers.
        uid: text that is part of all ids in the SVG. It must be different for each map of an HTML page.
        window: part of the tile to show, as west edge, north edge and side of a square in SVG coordinates (metres from
            the tile's north-west corner). None: the whole tile.

    Returns:
        An `<svg>` element that scales with its container.
    """
    scale = max(1.0, tile.east_m / _REFERENCE_TILE_M)
    left, top, width, height = (0.0, 0.0, tile.east_m, tile.north_m) if window is None else (*window, window[2])
    shapes = sorted(_shapes(tile), key=lambda shape: (shape.style.layer, shape.style.rank, -shape.size))
    body: list[str] = [f'<rect width="{_n(tile.east_m)}" height="{_n(tile.north_m)}" fill="{LAND}"/>']
    for layer in sorted({shape.style.layer for shape in shapes}):
        body.extend(_paint([shape for shape in shapes if shape.style.layer == layer], layer, scale))
    body.extend(_labels(tile, scale, uid))
    body.extend(_highlight(tile, highlight, scale))
    return (
        f'<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="{_n(left)} {_n(top)} {_n(width)} {_n(height)}" '
        f'role="img" aria-label="{escape(label or f"map of tile {tile.name}")}">{"".join(body)}</svg>'
    )


def _shapes(tile: TileMap) -> Iterator[_Shape]:
    for item in tile.objects:
        if not item.is_token and not item.covers_tile:
            continue  # boundaries and turn restrictions are not drawn
        rings = [part for part in item.parts if part[0] in (OUTER, INNER)]
        lines = [xy for role, xy in item.parts if role == LINE]
        points = [xy for role, xy in item.parts if role == POINT]
        if item.covers_tile:
            style = area_style(item.tags)
            if style.opacity == 1.0:  # skips areas of unknown type: they are translucent, and many can cover a tile
                whole = f"M0 0H{_n(tile.east_m)}V{_n(tile.north_m)}H0Z"
                yield _Shape(_without_outline(style), whole, tile.east_m * tile.north_m)
        if rings:
            path = "".join(_path(_to_svg(xy, tile)) + "Z" for _, xy in rings)
            yield _Shape(area_style(item.tags), path, item.area_m2)
        if lines:
            yield _Shape(line_style(item.tags), "".join(_path(_to_svg(xy, tile)) for xy in lines), item.length_m)
        if points:
            places = tuple((float(x), float(y)) for xy in points for x, y in _to_svg(xy, tile))
            yield _Shape(point_style(item.tags), "", 0.0, places)


def _paint(shapes: list[_Shape], layer: int, scale: float) -> Iterator[str]:
    if layer in (BRIDGE, TUNNEL):  # bridges may cross: an upper bridge must cover the casing of the lower one
        for shape in shapes:
            yield from _casings([shape], scale)
            yield _fill(shape, scale)
        return
    yield from _casings(shapes, scale)
    for shape in shapes:
        yield from _symbols(shape, scale) if shape.points else (_fill(shape, scale),)
        if layer == RAIL and shape.style.dash is None:
            yield _line(shape.path, "#ffffff", 1.2 * scale, 1.0, (5 * scale, 5 * scale))


def _casings(shapes: Iterable[_Shape], scale: float) -> Iterator[str]:
    for shape in shapes:
        if shape.style.casing:
            extra = 2.6 if shape.style.layer == BRIDGE else 1.8
            round_ends = shape.style.layer not in (BRIDGE, TUNNEL)
            width = (shape.style.width_m + extra) * scale
            yield _line(shape.path, shape.style.casing, width, shape.style.opacity, None, round_ends)


def _fill(shape: _Shape, scale: float) -> str:
    style = shape.style
    if style.fill is None:
        return _line(shape.path, style.stroke or "#888", style.width_m * scale, style.opacity, style.dash)
    outline = f' stroke="{style.stroke}" stroke-width="{_n(style.width_m * scale)}"' if style.stroke else ""
    return f'<path d="{shape.path}" fill="{style.fill}" fill-rule="evenodd"{outline}{_opacity(style.opacity)}/>'


def _line(
    path: str, colour: str, width: float, opacity: float, dash: tuple[float, ...] | None, round_ends: bool = True
) -> str:
    ends = ' stroke-linecap="round"' if round_ends and dash is None else ""
    dashes = f' stroke-dasharray="{" ".join(_n(d) for d in dash)}"' if dash else ""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{_n(width)}" stroke-linejoin="round"'
        f"{ends}{dashes}{_opacity(opacity)}/>"
    )


def _symbols(shape: _Shape, scale: float) -> Iterator[str]:
    style, radius = shape.style, shape.style.radius_m * scale
    for x, y in shape.points:
        if style.symbol == "signal":
            yield _traffic_signal(x, y, radius)
        elif style.symbol == "square":
            corner, side = f'x="{_n(x - radius)}" y="{_n(y - radius)}"', _n(2 * radius)
            yield f'<rect {corner} width="{side}" height="{side}" fill="{style.fill}"/>'
        else:
            edge = f' stroke="#fff" stroke-width="{_n(0.25 * radius)}"' if style.rank >= 3 else ""
            yield (
                f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{style.fill}"{edge}'
                f"{_opacity(style.opacity)}/>"
            )


def _traffic_signal(x: float, y: float, size: float) -> str:
    half = 0.5 * size
    lights = "".join(
        f'<circle cx="{_n(x)}" cy="{_n(y + shift * size)}" r="{_n(0.27 * size)}" fill="{colour}"/>'
        for shift, colour in ((-0.62, "#f0655a"), (0.0, "#f6c544"), (0.62, "#5fbf6a"))
    )
    box = f'x="{_n(x - half)}" y="{_n(y - 1.05 * size)}" width="{_n(size)}" height="{_n(2.1 * size)}"'
    return f'<g><rect {box} rx="{_n(0.3 * size)}" fill="#3a3a40" stroke="#fff" stroke-width="0.7"/>{lights}</g>'


def _labels(tile: TileMap, scale: float, uid: str) -> Iterator[str]:
    """Draws names of roads along the longest part of each road.

    At most `MAX_LABELS` names are drawn. Roads of higher class come first, then longer roads.
    """
    size = LABEL_SIZE_M * scale
    best: dict[str, tuple[int, float, Points]] = {}
    for item in tile.objects:
        name, rank = item.tags.get("name", ""), ROADS.get(item.tags.get("highway", ""), (0,))[0]
        if not name or rank < 5:
            continue
        for role, xy in item.parts:
            line = _to_svg(xy, tile)
            length = float(np.hypot(*np.diff(line, axis=0).T).sum())
            if role == LINE and length > 0.62 * size * len(name) and length > best.get(name, (0, 0.0))[1]:
                best[name] = (rank, length, line)
    chosen = sorted(best.items(), key=lambda entry: (-entry[1][0], -entry[1][1], entry[0]))[:MAX_LABELS]
    for number, (name, (_, _, line)) in enumerate(chosen):
        if line[-1, 0] < line[0, 0]:
            line = line[::-1]  # otherwise the name would be upside down
        name_id = f"n{escape(uid)}-{number}"
        yield (
            f'<path id="{name_id}" d="{_path(line)}" fill="none"/>'
            f'<text class="name" font-size="{_n(size)}" dy="{_n(0.34 * size)}">'
            f'<textPath href="#{name_id}" startOffset="50%">{escape(name)}</textPath></text>'
        )


def _highlight(tile: TileMap, ref: str | None, scale: float) -> Iterator[str]:
    found: list[MapObject] = [item for item in tile.objects if item.ref == ref] if ref else []
    for item in found:
        for role, xy in item.parts:
            place = _to_svg(xy, tile)
            if role == POINT:
                x, y = place[0]
                ring = f'cx="{_n(x)}" cy="{_n(y)}" r="{_n(11 * scale)}" fill="none"'
                yield f'<circle {ring} stroke="#fff" stroke-width="{_n(6 * scale)}"/>'
                yield f'<circle {ring} stroke="{HIGHLIGHT}" stroke-width="{_n(3.4 * scale)}"/>'
            elif role == LINE:
                yield _line(_path(place), "#ffffff", 8 * scale, 0.95, None)
                yield _line(_path(place), HIGHLIGHT, 4.6 * scale, 1.0, None)
        rings = [xy for role, xy in item.parts if role in (OUTER, INNER)]
        if item.covers_tile:
            rings = [
                np.array([[0.0, 0.0], [1.0, 0.0], [1.0, tile.north_m / tile.east_m], [0.0, tile.north_m / tile.east_m]])
            ]
        if rings:
            path = "".join(_path(_to_svg(xy, tile)) + "Z" for xy in rings)
            yield _line(path, "#ffffff", 6 * scale, 0.95, None)
            yield (
                f'<path d="{path}" fill="{HIGHLIGHT}" fill-opacity="0.14" fill-rule="evenodd" '
                f'stroke="{HIGHLIGHT}" stroke-width="{_n(3 * scale)}" stroke-linejoin="round"/>'
            )


def _to_svg(xy: Points, tile: TileMap) -> Points:
    """Converts stored vertices of a tile to SVG coordinates.

    Stored vertices are distances east and north of the tile's south-west corner, divided by the tile's width. SVG
    coordinates are metres east and south of the tile's north-west corner.
    """
    metres = np.asarray(xy, np.float64) * tile.east_m
    return np.stack([metres[:, 0], tile.north_m - metres[:, 1]], axis=1)


def _path(points: Points) -> str:
    """Returns the SVG path data of a polyline, with coordinates rounded to 0.1 m.

    Each point after the first is written as its offset from the previous point. Points are rounded before the offsets
    are computed, so rounding errors do not add up.
    """
    tenths = np.rint(points * 10).astype(np.int64)
    steps = np.diff(tenths, axis=0)
    first = f"M{_n(tenths[0, 0] / 10)} {_n(tenths[0, 1] / 10)}"
    moves = (f"{_n(dx / 10)} {_n(dy / 10)}" for dx, dy in steps.tolist() if dx or dy)
    rest = " ".join(moves)
    return f"{first}l{rest}" if rest else f"{first}h0"


def _without_outline(style: Style) -> Style:
    return Style(style.layer, style.rank, fill=style.fill, opacity=style.opacity)


def _opacity(value: float) -> str:
    return "" if value == 1.0 else f' opacity="{_n(value)}"'


def _n(value: float) -> str:
    """Formats a number with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
