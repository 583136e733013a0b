"""Draws pictures of the demo city at street level. They are no photos, and are called drawn wherever they are used."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from geojepa_cli.demo.answers import Cell, Point
from geojepa_cli.demo.city import City
from geojepa_cli.demo.colours import GROUND
from geojepa_cli.demo.plan import District, districts
from geojepa_cli.demo.street_scene import FLOOR_M, Building, Post, Scene, make_scenes, metres, tile_at
from geojepa_cli.demo.write import lonlat
from geojepa_cli.drawing.paints import Colour

TABLE = "street-views.csv"
SIDE_PX = 224
EYE_M = 2.2
NEAR_M, FAR_M = 0.6, 260.0
FIELDS = (60.0, 75.0, 90.0)  # fields of view in degrees
ROADS = ("primary", "secondary", "tertiary", "residential", "unclassified", "motorway")
SKY_TOP, SKY_LOW, GLASS = (142, 178, 216), (212, 224, 232), (70, 84, 98)
HAZE_M = 420.0  # distance at which colours are mixed with that of the sky by 63 %
LIGHT = (0.6, -0.8)  # direction (east, north) to the sun, as the shadows of aerial images have it


class View(NamedTuple):
    """Place (x, y) on the plan, heading in degrees clockwise from north, and horizontal field of view in degrees."""

    name: str
    place: Point
    heading: float
    field_of_view: float


class Face(NamedTuple):
    """A plane polygon in space: its distance in metres, corners (east, north, height), and colour."""

    distance: float
    corners: list[tuple[float, float, float]]
    colour: Colour


def write_street_views(city: City, folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Draws street views of the whole city as JPEG files. Returns the table of files, places and directions.

    Args:
        city: city to draw.
        folder: folder for the files. It is created if it does not exist.
        progress: function that is called after each view with (number of views drawn, number of all views).
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes, land, views = make_scenes(city), districts(city.plan), plan_views(city)
    path = folder / TABLE
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "lon", "lat", "heading", "field_of_view"])
        for done, view in enumerate(views, start=1):
            draw_view(view, scenes, land).save(folder / f"{view.name}.jpg", quality=88)
            table.writerow([f"{view.name}.jpg", *lonlat(city.plan, *view.place), view.heading, view.field_of_view])
            if progress is not None:
                progress(done, len(views))
    return path


def plan_views(city: City) -> list[View]:
    """Chooses one place on the roads of every tile that has a road, and a direction along the road."""
    sections: dict[Cell, list[tuple[Point, Point]]] = {}
    for way in city.sheet.ways:
        if way.tags.get("highway") in ROADS:
            for a, b in pairwise(city.sheet.points(way.nodes)):
                middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
                sections.setdefault(tile_at(middle), []).append((a, b))
    views = []
    for cell in sorted(sections):
        lot = city.plan.random("street view", *cell)
        a, b = lot.choice(sections[cell])
        along = 0.3 + 0.4 * lot.random()
        place = (a[0] + (b[0] - a[0]) * along, a[1] + (b[1] - a[1]) * along)
        heading = math.degrees(math.atan2(b[0] - a[0], a[1] - b[1])) + 180 * lot.randrange(2) + lot.uniform(-35, 35)
        name = city.plan.tile_name(*cell)
        views.append(View(name, place, round(heading % 360.0, 1), lot.choice(FIELDS)))
    return views


def draw_view(view: View, scenes: dict[Cell, Scene], land: dict[Cell, District]) -> Image.Image:
    """Draws a view with a pinhole camera that looks along the horizon, 2.2 m above the ground."""
    camera = Camera(view)
    image = Image.new("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
    draw = ImageDraw.Draw(image)
    cell = tile_at(view.place)
    _draw_background(draw, GROUND[land[cell]].colour)
    near = [scenes[at] for at in _around(cell) if at in scenes]
    flats = sorted((flat for scene in near for flat in scene.flats), key=lambda flat: flat.layer)
    for flat in flats:
        _draw(draw, camera, [(*corner, 0.0) for corner in flat.corners], flat.colour, 0.0)
    faces = [face for scene in near for face in _faces(scene, camera)]
    for face in sorted(faces, key=lambda face: -face.distance):
        _draw(draw, camera, face.corners, face.colour, face.distance)
    return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)


class Camera:
    """Pinhole camera, whose picture is twice as large as the view, and is made smaller afterwards."""

    def __init__(self, view: View) -> None:
        angle = math.radians(view.heading)
        self.place = metres(view.place)
        self.forward, self.right = (math.sin(angle), math.cos(angle)), (math.cos(angle), -math.sin(angle))
        self.focal = SIDE_PX / math.tan(math.radians(view.field_of_view) / 2)

    def depth(self, point: tuple[float, ...]) -> float:
        """Distance of a point along the viewing direction, in metres."""
        east, north = point[0] - self.place[0], point[1] - self.place[1]
        return east * self.forward[0] + north * self.forward[1]

    def pixel(self, point: tuple[float, float, float]) -> Point:
        """Place of a point in the picture. The point must lie in front of the camera."""
        east, north, depth = point[0] - self.place[0], point[1] - self.place[1], self.depth(point)
        aside = east * self.right[0] + north * self.right[1]
        return SIDE_PX + self.focal * aside / depth, SIDE_PX - self.focal * (point[2] - EYE_M) / depth


def _draw_background(draw: ImageDraw.ImageDraw, ground: Colour) -> None:
    for row in range(2 * SIDE_PX):
        share = row / SIDE_PX
        colour = _mixed(SKY_TOP, SKY_LOW, share) if share < 1.0 else _mixed(SKY_LOW, ground, min(1.0, 12 * (share - 1)))
        draw.line([(0, row), (2 * SIDE_PX, row)], fill=colour)


def _draw(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    corners: list[tuple[float, float, float]],
    colour: Colour,
    distance: float,
) -> None:
    clipped = _in_front(camera, corners)
    if len(clipped) > 2:
        haze = 1.0 - math.exp(-distance / HAZE_M)
        draw.polygon([camera.pixel(corner) for corner in clipped], fill=_mixed(colour, SKY_LOW, haze))


def _in_front(camera: Camera, corners: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Cuts off what lies behind the camera (Sutherland and Hodgman 1974)."""
    found = []
    for a, b in pairwise([*corners, corners[0]]):
        near, far = camera.depth(a) - NEAR_M, camera.depth(b) - NEAR_M
        if near >= 0:
            found.append(a)
        if (near < 0) != (far < 0):
            t = near / (near - far)
            found.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])))
    return found


def _faces(scene: Scene, camera: Camera) -> Iterator[Face]:
    for building in scene.buildings:
        if _distance(camera, building.corners) < FAR_M:
            yield from _walls(building, camera)
    for post in scene.posts:
        distance = math.dist(post.place, camera.place)
        if camera.depth(post.place) > NEAR_M and distance < FAR_M:
            yield from _post(post, camera, distance)


def _walls(building: Building, camera: Camera) -> Iterator[Face]:
    east, north = (sum(values) / len(building.corners) for values in zip(*building.corners, strict=True))
    peak = (east, north, building.height_m + building.roof_m)
    for a, b in pairwise([*building.corners, building.corners[0]]):
        distance = _distance(camera, [a, b])
        length = math.dist(a, b) or 1.0
        outwards = ((b[1] - a[1]) / length, -(b[0] - a[0]) / length)  # outlines run counter-clockwise
        light = 0.72 + 0.28 * (outwards[0] * LIGHT[0] + outwards[1] * LIGHT[1])
        yield Face(distance, _upright(a, b, 0.0, building.height_m), _scaled(building.colour, light))
        for floor in range(building.floors):
            low = floor * FLOOR_M + 1.0
            if low + 1.5 < building.height_m:
                yield Face(distance - 0.01, _upright(_at(a, b, 0.1), _at(a, b, 0.9), low, low + 1.5), GLASS)
        if building.roof_m:
            corners = [(*a, building.height_m), (*b, building.height_m), peak]
            yield Face(distance - 0.02, corners, _scaled(building.roof, light + 0.1))


def _post(post: Post, camera: Camera, distance: float) -> Iterator[Face]:
    trunk, crown = (0.2, 0.26 * post.height_m) if post.is_tree else (0.07, 0.45)
    low = 0.35 * post.height_m if post.is_tree else post.height_m - 0.9
    foot = _upright(*_across(post.place, camera, trunk), 0.0, post.height_m - 0.1)
    yield Face(distance, foot, (96, 78, 60) if post.is_tree else (120, 122, 124))
    if not post.is_tree:
        yield Face(distance - 0.01, _upright(*_across(post.place, camera, crown), low, post.height_m), post.colour)
        return
    a, b = _across(post.place, camera, crown)
    middle, half = (low + post.height_m) / 2, (post.height_m - low) / 2
    corners = []
    for k in range(12):
        turn = math.tau * k / 12
        corners.append((*_at(a, b, 0.5 + 0.5 * math.cos(turn)), middle + half * math.sin(turn)))
    yield Face(distance - 0.01, corners, post.colour)


def _around(cell: Cell) -> Iterable[Cell]:
    return [(cell[0] + column, cell[1] + row) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def _distance(camera: Camera, corners: list[Point]) -> float:
    east, north = (sum(values) / len(corners) for values in zip(*corners, strict=True))
    return math.dist((east, north), camera.place)


def _upright(a: Point, b: Point, low: float, high: float) -> list[tuple[float, float, float]]:
    return [(*a, low), (*b, low), (*b, high), (*a, high)]


def _across(place: Point, camera: Camera, half: float) -> tuple[Point, Point]:
    east, north = camera.right[0] * half, camera.right[1] * half
    return (place[0] - east, place[1] - north), (place[0] + east, place[1] + north)


def _at(a: Point, b: Point, t: float) -> Point:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue
