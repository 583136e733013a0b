"""Roads of the San Francisco extract of 2014 over the NAIP image tiles of group 14_2619_6334, as `geojepa fetch` and
`geojepa tile` make both. Draws them where it is run:

    python tests/real/roads_on_images.py workspace docs/roads-over-naip.jpg
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import shapely
import shapely.affinity
from PIL import Image, ImageDraw, ImageFont
from pyproj import Transformer

GROUP_X, GROUP_Y, TILES = 2619, 6334, 4  # a zoom-14 group is 4 × 4 tiles of zoom 16
BBOX = "-122.4536,37.7360,-122.4317,37.7533"
SIDE_PX = 224
CROP = (448, 224, 896, 672)  # of the group, in pixels: where the extract has most roads
WORLD_M = 2 * math.pi * 6378137.0
PIXEL_M = WORLD_M / 2**16 / SIDE_PX  # of Web Mercator
CREDIT = "Roads: © OpenStreetMap contributors (2014), ODbL 1.0. Image: NAIP, USDA FPAC, public domain."
CARS = {"motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "living_street"}


class Scene(NamedTuple):
    """Both, in pixels from the group's north-western corner.

    Attributes:
        image: uint8 [896, 896, 3].
        covered: bool [896, 896], where there is an image.
        roads: for cars, not in tunnels.
        tiles: that have a road.
        pixel_m: side of a pixel on the ground.
    """

    image: np.ndarray
    covered: np.ndarray
    roads: list[shapely.LineString]
    tiles: int
    pixel_m: float


def read(workspace: Path) -> Scene:
    """From the artifacts of a workspace, by the formulas of the grid and pyproj."""
    (images,), (tiles,) = workspace.glob("images/*/images.h5"), workspace.glob("tiles/*/tiles.h5")
    whole = TILES * SIDE_PX
    image, covered = np.zeros((whole, whole, 3), np.uint8), np.zeros((whole, whole), bool)
    with h5py.File(images) as file:
        for x, y, pixels in zip(file["x"][:], file["y"][:], file["image"][:], strict=True):
            column, row = (int(x) - TILES * GROUP_X) * SIDE_PX, (int(y) - TILES * GROUP_Y) * SIDE_PX
            if 0 <= column < whole and 0 <= row < whole:
                image[row : row + SIDE_PX, column : column + SIDE_PX] = pixels.transpose(1, 2, 0)
                covered[row : row + SIDE_PX, column : column + SIDE_PX] = True
    found = [(tile, road) for tile, road in _roads(tiles) if road.intersects(shapely.box(0, 0, whole, whole))]
    lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (GROUP_Y + 0.5) / 2**14))))
    ground = PIXEL_M * math.cos(math.radians(lat))
    return Scene(image, covered, [road for _, road in found], len({tile for tile, _ in found}), ground)


def contrast(scene: Scene, east_m: float, south_m: float) -> float:
    """Mean brightness within 4 m of the roads, less that at 8 to 14 m of them, with the roads moved."""
    moved = [shapely.affinity.translate(road, east_m / scene.pixel_m, south_m / scene.pixel_m) for road in scene.roads]
    lines = shapely.unary_union(moved)
    near, within, beyond = (lines.buffer(metres / scene.pixel_m) for metres in (4.0, 8.0, 14.0))
    grey = scene.image.astype(float).mean(2)
    return _mean(grey, scene.covered, near) - _mean(grey, scene.covered, beyond.difference(within))


def draw(scene: Scene, path: Path) -> None:
    """The picture, with its credit: four tiles, twice enlarged, the roads as thin lines over them."""
    left, top, right, bottom = CROP
    picture = Image.fromarray(scene.image[top:bottom, left:right]).resize((2 * (right - left), 2 * (bottom - top)))
    pen = ImageDraw.Draw(picture)
    for road in scene.roads:
        pen.line([(2 * (x - left), 2 * (y - top)) for x, y in road.coords], fill=(255, 220, 0), width=1)
    whole = Image.new("RGB", (picture.width, picture.height + 20), "white")
    whole.paste(picture, (0, 0))
    font = ImageFont.load_default(size=13)
    ImageDraw.Draw(whole).text((6, picture.height + 2), CREDIT, fill="black", font=font)
    whole.save(path, quality=80, optimize=True)


def _mean(grey: np.ndarray, covered: np.ndarray, area: shapely.Geometry) -> float:
    rows, columns = np.indices(grey.shape) + 0.5
    shapely.prepare(area)
    return float(grey[covered & shapely.contains_xy(area, columns, rows)].mean())


def _roads(path: Path) -> Iterator[tuple[int, shapely.LineString]]:
    """Row of the tile and line, in pixels, of each piece of a road for cars."""
    to_mercator = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    with h5py.File(path) as file:
        column = {name: file[name][:] for name in ("tile/pieces", "piece/parts", "part/nodes", "piece/object")}
        tags, vocab, nodes = file["object/tags"][:], file["tag/vocab"][:], file["node/lonlat"][:] / 1e7
        keys, values = _texts(file, "vocab/key"), _texts(file, "vocab/value")
        for tile, (first, last) in enumerate(pairwise(column["tile/pieces"])):
            for piece in range(first, last):
                start, end = tags[column["piece/object"][piece] :][:2]
                held = {keys[row]: values[row] for row in vocab[start:end]}
                if held.get("highway", "").removesuffix("_link") not in CARS or "tunnel" in held:
                    continue
                for part in range(*column["piece/parts"][piece:][:2]):
                    lonlat = nodes[slice(*column["part/nodes"][part:][:2])]
                    x, y = to_mercator.transform(*lonlat.T)
                    columns = (x + WORLD_M / 2) / PIXEL_M - TILES * GROUP_X * SIDE_PX
                    rows = (WORLD_M / 2 - y) / PIXEL_M - TILES * GROUP_Y * SIDE_PX
                    yield tile, shapely.LineString(np.stack([columns, rows], 1))


def _texts(file: h5py.File, name: str) -> Sequence[str]:
    ends, data = file[name][:], file[f"{name}_utf8"][:].tobytes()
    return [data[start:end].decode() for start, end in pairwise(ends)]


if __name__ == "__main__":
    draw(read(Path(sys.argv[1])), Path(sys.argv[2]))
