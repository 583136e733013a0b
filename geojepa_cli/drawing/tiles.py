"""Draws the images of a region's tiles from its `tiles.h5`, as a replacement for aerial images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.config.drawing import DrawingConfig
from geojepa_cli.drawing.appearance import AREA, KEYS, LINE, paints_of
from geojepa_cli.drawing.canvas import GRAIN, Canvas, enlarge, fine_noise, to_bytes
from geojepa_cli.drawing.chance import Purpose, chance
from geojepa_cli.drawing.light import infrared, shadow_shift, vary
from geojepa_cli.drawing.paints import SHADOW, Colour, Ink, Paint
from geojepa_cli.drawing.surfaces import GROUND
from geojepa_cli.grid import TileId, tile_bounds
from geojepa_cli.store.csr import span
from geojepa_cli.store.image_form import BANDS, ImageForm
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import INNER

MAX_SHADOW_M = 120.0
_SHADOW_STEP_PX = 6.0  # of the canvas
_UNITS = 1e-7  # degrees per unit of the column `node/lonlat`
_OF_COLOURS = (Purpose.BRIGHTNESS, Purpose.RED, Purpose.GREEN, Purpose.BLUE)
_OF_ELEMENTS = (Purpose.MISSING, Purpose.SHADOW, Purpose.PALETTE, *_OF_COLOURS)
_EDGE_PX = 0.75  # of the canvas; a line that ends closer to the tile's edge is extended over it

Floats = npt.NDArray[np.float64]


class DrawnTile(NamedTuple):
    """Image of a tile.

    Attributes:
        pixels: uint8 [bands, side, side].
        shown: number of pieces (parts of OSM elements inside the tile) that were drawn.
        left_out: number of pieces that were left out by chance.
    """

    pixels: npt.NDArray[np.uint8]
    shown: int
    left_out: int


class _Piece(NamedTuple):
    """Part of an OSM element inside a tile, with its appearance.

    Pieces are painted in the order of their first three fields.
    """

    layer: int
    minus_area_m2: float
    number: int  # in the tile
    paint: Paint
    colour: Colour
    kind: int
    shadow: bool
    covers_tile: bool


class TileDrawer:
    """Draws tiles of one region.

    The images depend only on the map, the drawing settings, and the size and bands of the images.
    """

    def __init__(self, region: RegionStore, drawing: DrawingConfig, form: ImageForm) -> None:
        """Prepares the drawing of tiles.

        Args:
            region: opened `tiles.h5`.
            drawing: settings of the images.
            form: size and bands of the images.
        """
        self._region, self._drawing, self._form = region, drawing, form
        self._used = {entry: (key, region.values[entry]) for entry, key in enumerate(region.keys) if key in KEYS}
        self._paints: dict[tuple[int, tuple[int, ...]], tuple[Paint, ...]] = {}

    def draw(self, row: int) -> DrawnTile:
        """Draws a tile. `row` is the row of the tile in the table `tile/`."""
        region = self._region
        tile = TileId(*(int(region[f"tile/{axis}"][row]) for axis in "zxy"))
        first, last = span(region["tile/pieces"], row)
        pieces, left_out = self._pieces(first, last)
        canvas = Canvas(self._form.size_px, self._ink(GROUND, GROUND.colour))
        geometry = _Geometry(region, tile, row, canvas.side)
        self._paint(canvas, geometry, pieces, shadow_shift(tile, self._drawing.seed))
        return DrawnTile(self._pixels(canvas, tile), len(pieces), left_out)

    def _pieces(self, first: int, last: int) -> tuple[list[_Piece], int]:
        """Returns the visible pieces in paint order, and the number of visible pieces that are left out by chance."""
        region, settings = self._region, self._drawing
        rows = region["piece/object"][first:last].astype(np.int64)
        found = [(number, *self._looks(row)) for number, row in enumerate(rows.tolist())]
        found = [(number, kind, paints) for number, kind, paints in found if paints]
        if not found:
            return [], 0
        shown = rows[[number for number, _, _ in found]]
        keys = (region["object/osm_type"][shown], region["object/osm_id"][shown])
        draws = {purpose: chance(settings.seed, purpose, *keys).tolist() for purpose in _OF_ELEMENTS}
        areas, covers = (region[f"piece/{name}"][first:last].tolist() for name in ("area_m2", "covers_tile"))
        pieces = []
        for index, (number, kind, paints) in enumerate(found):
            if draws[Purpose.MISSING][index] < settings.missing:
                continue
            paint = paints[int(draws[Purpose.PALETTE][index] * len(paints))]
            change = [draws[purpose][index] for purpose in _OF_COLOURS]
            shadow = paint.height_m > 0 and draws[Purpose.SHADOW][index] < settings.shadows
            colour = vary(paint.colour, change, settings.jitter)
            whole = bool(covers[number])
            pieces.append(_Piece(paint.layer, -areas[number], number, paint, colour, kind, shadow, whole))
        return sorted(pieces, key=lambda piece: piece[:3]), len(found) - len(pieces)

    def _looks(self, row: int) -> tuple[int, tuple[Paint, ...]]:
        """Returns the kind of geometry and the possible appearances of an OSM element.

        `row` is the row of the element in the table `object/`.
        """
        region = self._region
        kind = int(region["object/kind"][row])
        start, end = span(region["object/tags"], row)
        tags = tuple(entry for entry in region["tag/vocab"][start:end].tolist() if entry in self._used)
        known = self._paints.get((kind, tags))
        if known is None:
            known = paints_of(dict(self._used[entry] for entry in tags), kind)
            self._paints[kind, tags] = known
        return kind, known

    def _paint(self, canvas: Canvas, geometry: _Geometry, pieces: Sequence[_Piece], shift: tuple[float, float]) -> None:
        """Paints pieces in the given order. All shadows are painted together, in their place in the paint order."""
        shadows = [piece for piece in pieces if piece.shadow]
        for piece in pieces:
            if shadows and piece.layer > SHADOW.layer:
                for one in shadows:
                    self._paint_shadow(canvas, geometry, one, shift)
                shadows = []
            ink, width_px = self._ink(piece.paint, piece.colour), piece.paint.width_m * geometry.px_per_m
            if piece.kind == AREA and piece.covers_tile:
                canvas.area([[0.0, 0.0, canvas.side, 0.0, canvas.side, canvas.side, 0.0, canvas.side]], ink)
                continue
            for rings in geometry.shapes(piece.number):
                if piece.kind == AREA:
                    canvas.area([ring.ravel().tolist() for ring in rings], ink)
                elif piece.kind == LINE:
                    canvas.line(_extended(rings[0], canvas.side, width_px).ravel().tolist(), ink, width_px)
                else:
                    canvas.disc(rings[0][0].tolist(), ink, width_px)

    def _paint_shadow(self, canvas: Canvas, geometry: _Geometry, piece: _Piece, shift: tuple[float, float]) -> None:
        """Paints the shadow of a piece: its outline, moved step by step to the end of the shadow."""
        ink, width_px = self._ink(SHADOW, SHADOW.colour), piece.paint.width_m * geometry.px_per_m
        height_m = min(piece.paint.height_m, MAX_SHADOW_M / math.hypot(*shift))
        end = np.array(shift) * height_m * geometry.px_per_m
        steps = max(1, math.ceil(math.hypot(*end) / _SHADOW_STEP_PX))
        for rings in geometry.shapes(piece.number):
            for step in range(1, steps + 1):
                moved = [ring + end * (step / steps) for ring in rings]
                if piece.kind == AREA:
                    canvas.area([ring.ravel().tolist() for ring in moved], ink)
                else:
                    canvas.disc(moved[0][0].tolist(), ink, width_px)

    def _pixels(self, canvas: Canvas, tile: TileId) -> npt.NDArray[np.uint8]:
        """Adds noise to the canvas, and returns the image: uint8 [bands, side, side].

        The smooth part of the noise continues in neighbouring tiles, so images have no seams.
        """
        size, seed = self._form.size_px, self._drawing.seed
        columns, rows = (np.arange(GRAIN + 1) + start * GRAIN for start in (tile.x, tile.y))
        window = 2 * chance(seed, Purpose.COARSE, tile.z, columns[None, :], rows[:, None]) - 1
        generator = np.random.default_rng([seed, *tile])
        fine = fine_noise(generator, size)
        speckle = generator.standard_normal((size, size), dtype=np.float32) * np.float32(self._drawing.noise)
        coarse = enlarge(window.astype(np.float32), size, seamless=True)
        return np.ascontiguousarray(to_bytes(canvas.pixels(coarse, fine, speckle)).transpose(2, 0, 1))

    def _ink(self, paint: Paint, colour: Colour) -> Ink:
        bands = (*colour, paint.roughness)
        return bands if BANDS[self._form.bands] == 3 else (*bands, infrared(colour))


class _Geometry:
    """Positions of the pieces (parts of OSM elements) of a tile, in pixels of the canvas.

    Attributes:
        px_per_m: pixels per metre on the ground.
    """

    def __init__(self, region: RegionStore, tile: TileId, row: int, side: int) -> None:
        self.px_per_m = side / float(region["tile/east_m"][row])
        first, last = span(region["tile/pieces"], row)
        parts = region["piece/parts"][first : last + 1].astype(np.int64)
        ends = region["part/nodes"][parts[0] : parts[-1] + 1].astype(np.int64)
        self._xy = _to_pixels(region["node/lonlat"][ends[0] : ends[-1]], tile, side)
        self._roles = region["part/role"][parts[0] : parts[-1]].tolist()
        self._parts, self._ends = (parts - parts[0]).tolist(), (ends - ends[0]).tolist()

    def shapes(self, number: int) -> Iterator[list[Floats]]:
        """Yields the polygons, lines and points of one object in the tile.

        Args:
            number: number of the object in the tile.

        Yields:
            A list of positions, each float64 [n, 2]: the outer ring of a polygon and then its inner rings, or a single
            line or point.
        """
        part, last = self._parts[number], self._parts[number + 1]
        while part < last:
            following = part + 1
            while following < last and self._roles[following] == INNER:
                following += 1
            yield [self._xy[self._ends[one] : self._ends[one + 1]] for one in range(part, following)]
            part = following


def _extended(line: Floats, side: int, width_px: float) -> Floats:
    """Extends a line that was cut at the edge of a tile, so that its whole width reaches the edge: float64 [n, 2]."""
    if len(line) < 2:
        return line
    result = line.copy()
    for end, inner in ((0, 1), (-1, -2)):
        x, y = line[end]
        direction = line[end] - line[inner]
        length = float(np.hypot(*direction))
        if length > 0 and (min(x, y) < _EDGE_PX or max(x, y) > side - _EDGE_PX):
            result[end] = line[end] + direction / length * width_px
    return result


def _to_pixels(lonlat: npt.NDArray[np.int32], tile: TileId, side: int) -> Floats:
    """Converts positions to pixels of the canvas, from the tile's north-west corner: float64 [n, 2]."""
    west, south, east, north = tile_bounds(*tile)
    lon, lat = lonlat[:, 0] * _UNITS, lonlat[:, 1] * _UNITS
    top, bottom = (math.asinh(math.tan(math.radians(one))) for one in (north, south))
    y = (top - np.arcsinh(np.tan(np.radians(lat)))) / (top - bottom)
    return np.stack([(lon - west) / (east - west), y], axis=1) * side
