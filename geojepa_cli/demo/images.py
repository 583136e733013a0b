"""Draws the aerial images of the demo city from its OSM elements: one image of 224 × 224 px for each tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from geojepa_cli.demo.answers import Cell, Point, cells_of_box
from geojepa_cli.demo.city import City
from geojepa_cli.demo.colours import GROUND, paint_of
from geojepa_cli.demo.plan import District, Plan, districts
from geojepa_cli.demo.sheet import Sheet, Tags
from geojepa_cli.drawing.canvas import GRAIN, Canvas, enlarge, fine_noise, to_bytes
from geojepa_cli.drawing.paints import SHADOW, Paint

SIZE_PX = 224
TILE_M = 500.0  # approximate ground size of a tile, exact enough for the widths of roads
REACH = 0.04  # maximum distance between a line and the edge of its road or shadow, in tiles


@dataclass(frozen=True)
class Shape:
    """Geometry and appearance of an OSM element in an image.

    Attributes:
        paint: appearance of the element.
        rings: lists of positions. A polygon has one list for its outer ring, followed by one list for each inner ring.
            A line or a point has one list. Positions are measured in tiles from the city's north-west corner.
        closed: True for a polygon, False for a line or a point.
    """

    paint: Paint
    rings: list[list[Point]]
    closed: bool


def write_images(city: City, folder: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Writes the image of every tile of the city as a lossless `16_X_Y.webp`. Returns the number of images.

    Args:
        city: city to draw.
        folder: folder for the images. The folder is created if it does not exist.
        progress: function that is called after each image with (number of images written, number of all images).
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = city.plan.columns * city.plan.rows
    for done, (name, image) in enumerate(draw_tiles(city), start=1):
        image.save(folder / f"{name}.webp", lossless=True, method=0, quality=0)
        if progress is not None:
            progress(done, total)
    return total


def draw_tiles(city: City) -> Iterator[tuple[str, Image.Image]]:
    """Yields the name and the RGB image of every tile, row by row from north to south."""
    land = districts(city.plan)
    shapes = _by_tile(_shapes(city.sheet))
    noise = _coarse_noise(city.plan)
    for row in range(city.plan.rows):
        for column in range(city.plan.columns):
            cell = (column, row)
            yield city.plan.tile_name(*cell), _draw(cell, shapes[cell], land, noise, city.plan)


def _shapes(sheet: Sheet) -> list[Shape]:
    """Returns the shapes of all OSM elements that images show, in paint order."""
    shapes = []
    for relation in sheet.relations:
        if relation.tags["type"] != "multipolygon":
            continue
        rings = [sheet.points(sheet.ways[way - 1].nodes) for _, way, _ in relation.members]
        shapes += _shape(relation.tags, relation.id, rings, closed=True)
    for way in sheet.ways:
        closed = way.nodes[0] == way.nodes[-1]
        shapes += _shape(way.tags, way.id, [sheet.points(way.nodes)], closed)
    for node in sheet.nodes:
        shapes += _shape(node.tags, node.id, [[(node.x, node.y)]], closed=False)
    return sorted(shapes, key=lambda shape: shape.paint.layer)


def _shape(tags: Tags, element_id: int, rings: list[list[Point]], closed: bool) -> list[Shape]:
    paint = paint_of(tags, element_id)
    if paint is None:
        return []
    fall = paint.height_m / TILE_M
    shadow = [Shape(SHADOW, [[(x - fall, y - fall) for x, y in rings[0]]], closed)] if fall else []
    return [*shadow, Shape(paint, rings, closed)]  # shadows fall to the north-west


def _by_tile(shapes: Iterable[Shape]) -> dict[Cell, list[Shape]]:
    result: dict[Cell, list[Shape]] = defaultdict(list)
    for shape in shapes:
        for cell in cells_of_box(shape.rings[0], REACH):
            result[cell].append(shape)
    return result


def _draw(
    cell: Cell, shapes: list[Shape], land: dict[Cell, District], noise: npt.NDArray[np.float32], plan: Plan
) -> Image.Image:
    ground = GROUND[land[cell]].ink
    canvas = Canvas(SIZE_PX, ground)
    for shape in shapes:
        rings = [[value * canvas.side for x, y in ring for value in (x - cell[0], y - cell[1])] for ring in shape.rings]
        width_px = shape.paint.width_m * canvas.side / TILE_M
        if len(shape.rings[0]) == 1:
            canvas.disc(rings[0], shape.paint.ink, width_px)
        elif shape.closed:
            canvas.area(rings, shape.paint.ink, hole=ground)
        else:
            canvas.line(rings[0], shape.paint.ink, width_px)
    column, row = cell
    window = noise[row * GRAIN : (row + 1) * GRAIN + 1, column * GRAIN : (column + 1) * GRAIN + 1]
    fine = fine_noise(np.random.default_rng([plan.seed, column, row]), SIZE_PX)
    return Image.fromarray(to_bytes(canvas.pixels(enlarge(window, SIZE_PX), fine)))


def _coarse_noise(plan: Plan) -> npt.NDArray[np.float32]:
    """Returns noise from −1 to 1 for the whole city, so that the noise has no seams at tile borders."""
    shape = (plan.rows * GRAIN + 1, plan.columns * GRAIN + 1)
    return np.random.default_rng([plan.seed, 224]).uniform(-1, 1, shape).astype(np.float32)
