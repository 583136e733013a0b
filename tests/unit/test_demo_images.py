"""The demo city's images show what its map says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geojepa_cli.demo.city import City, make_city
from geojepa_cli.demo.colours import paint_of
from geojepa_cli.demo.images import SIZE_PX, draw_tiles, write_images


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("small")


@pytest.fixture(scope="module")
def images(city: City) -> dict[str, Image.Image]:
    return dict(draw_tiles(city))


def colour_at(city: City, images: dict[str, Image.Image], x: float, y: float) -> np.ndarray:
    """Mean colour of 5 × 5 px around a place on the plan."""
    name = city.plan.tile_name(int(x), int(y))
    left, top = (int((value % 1) * SIZE_PX) for value in (x, y))
    return np.asarray(images[name], dtype=float)[top - 2 : top + 3, left - 2 : left + 3].mean(axis=(0, 1))


def test_every_tile_has_an_image_of_224_px(city: City, images: dict[str, Image.Image]) -> None:
    assert set(images) == set(city.answers)
    assert {(image.size, image.mode) for image in images.values()} == {((224, 224), "RGB")}


def overview(images: dict[str, Image.Image]) -> Image.Image:
    """All images in a row, each reduced to 8 × 8 px. The mean of 28 × 28 px hardly depends on the version of Pillow."""
    reduced = Image.new("RGB", (8 * len(images), 8))
    for place, name in enumerate(sorted(images)):
        reduced.paste(images[name].reduce(28), (8 * place, 0))
    return reduced


def test_the_images_stay_the_same(images: dict[str, Image.Image]) -> None:
    """A golden picture: `overview(images).save(...)` made it."""
    with Image.open(Path(__file__).resolve().parents[1] / "golden" / "demo_city.png") as golden:
        expected = np.asarray(golden, dtype=float)
    changed = np.abs(np.asarray(overview(images), dtype=float) - expected)
    assert changed.max() <= 12 and changed.mean() <= 0.5


def test_the_river_is_water_where_the_map_has_it(city: City, images: dict[str, Image.Image]) -> None:
    water = paint_of({"natural": "water"}, 1)
    assert water is not None
    near = 0
    for row in range(city.plan.rows):
        colour = colour_at(city, images, city.plan.river(row + 0.9), row + 0.9)
        near += bool(np.abs(colour - water.colour).max() < 15)
    assert near >= city.plan.rows - 1  # a bridge may lie over it once


def test_large_roofs_have_their_colour(city: City, images: dict[str, Image.Image]) -> None:
    checked = 0
    for way in city.sheet.ways:
        if way.tags.get("building") != "warehouse":
            continue
        points = city.sheet.points(way.nodes[:-1])
        x, y = (sum(values) / len(values) for values in zip(*points, strict=True))
        paint = paint_of(way.tags, way.id)
        assert paint is not None
        assert np.abs(colour_at(city, images, x, y) - paint.colour).max() < 12
        checked += 1
    assert checked > 5


def test_images_repeat_to_the_byte_and_lose_nothing(city: City, images: dict[str, Image.Image], tmp_path: Path) -> None:
    seen: list[int] = []
    assert write_images(city, tmp_path / "first", lambda done, total: seen.append(done)) == 64
    write_images(city, tmp_path / "second")
    assert seen == list(range(1, 65))
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / folder).iterdir()}
        for folder in ("first", "second")
    ]
    assert digests[0] == digests[1]
    name, image = next(iter(images.items()))
    with Image.open(tmp_path / "first" / f"{name}.webp") as read:
        np.testing.assert_array_equal(np.asarray(read.convert("RGB")), np.asarray(image))
