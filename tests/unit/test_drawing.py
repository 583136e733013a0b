"""Images that are drawn from the map: places, chances, noise and shadows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from map_builder import Map, X, Y, square
from tiles_reader import run_tiler

from geojepa_cli.config.drawing import DrawingConfig, load_drawing
from geojepa_cli.drawing.appearance import AREA, LINE, POINT, paints_of
from geojepa_cli.drawing.chance import Purpose, chance
from geojepa_cli.drawing.light import shadow_shift
from geojepa_cli.drawing.region import write_drawn_images
from geojepa_cli.drawing.surfaces import GROUND
from geojepa_cli.drawing.tiles import TileDrawer
from geojepa_cli.errors import UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore

PLAIN = {"missing": 0.0, "shadows": 0.0, "noise": 0.0, "jitter": 0.0}
RIVER = [(-0.5, 0.85), (1.5, 0.85)]
BLOCK, COURT = square(0.1, 0.4), square(0.2, 0.3)
LAKE, ISLAND, WOOD = square(0.55, 0.8), square(0.62, 0.72), square(0.5, 0.9)


def town() -> Map:
    """A building with a courtyard, a lake with an island in a wood, a road that crosses the wood, and hidden things."""
    world = Map()
    world.way(1, BLOCK, close=True)
    world.way(2, COURT, close=True)
    world.relation(3, ["w1@outer", "w2@inner"], type="multipolygon", building="office", **{"building:levels": "5"})
    world.way(4, WOOD, close=True, natural="wood")
    world.way(5, LAKE, close=True)
    world.way(6, ISLAND, close=True)
    world.relation(7, ["w5@outer", "w6@inner"], type="multipolygon", natural="water")
    world.way(8, RIVER, highway="primary", width="20")
    world.way(9, square(0.05, 0.95), close=True, landuse="farmland", crop="wheat")
    world.way(10, [(0.0, 0.45), (1.0, 0.45)], railway="subway", tunnel="yes")
    world.way(11, square(0.42, 0.48), close=True, amenity="parking", parking="underground")
    return world


def opened(folder: Path, world: Map) -> RegionStore:
    run_tiler(world.write(folder / "map.osm.pbf"), folder / "tiles.h5")
    return RegionStore(folder / "tiles.h5", "town")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> RegionStore:
    return opened(tmp_path_factory.mktemp("town"), town())


def row_of(region: RegionStore, dx: int = 0) -> int:
    return region["tile/x"].tolist().index(X + dx)


def draw(region: RegionStore, row: int, bands: str = "rgb", **settings: float) -> np.ndarray:
    """The image of a tile: float [rows, columns, bands]."""
    drawing = DrawingConfig.model_validate(PLAIN | settings)
    return TileDrawer(region, drawing, ImageForm(bands=bands)).draw(row).pixels.transpose(1, 2, 0).astype(float)


def colour_of(kind: int, **tags: str) -> np.ndarray:
    (paint,) = paints_of(tags, kind)
    return np.array(paint.colour, float)


def test_every_place_has_the_colour_of_the_topmost_element(region: RegionStore) -> None:
    image = draw(region, row_of(region))
    block = shapely.Polygon(BLOCK, [COURT])
    water = shapely.Polygon(LAKE, [ISLAND])
    road = shapely.LineString(RIVER).buffer(10 / float(region["tile/east_m"][row_of(region)]), cap_style="flat")
    field = colour_of(AREA, landuse="farmland", crop="wheat")
    expected = [  # from the top to the bottom
        (block, [paint.colour for paint in paints_of({"building": "office", "building:levels": "5"}, AREA)]),
        (road, [colour_of(LINE, highway="primary", width="20")]),
        (water, [colour_of(AREA, natural="water")]),
        (shapely.Polygon(WOOD), [colour_of(AREA, natural="wood")]),
        (shapely.Polygon(square(0.05, 0.95)), [field]),
    ]
    seen = dict.fromkeys(range(len(expected)), 0)
    for x, y in np.random.default_rng(1).uniform(0.02, 0.98, (4000, 2)):
        here = shapely.Point(x, y)
        if any(shape.boundary.distance(here) < 2.5 / 224 for shape, _ in expected):
            continue  # a pixel on an edge has a mixed colour
        index = next((i for i, (shape, _) in enumerate(expected) if shape.contains(here)), None)
        if index is None:
            continue
        near = image[int(y * 224), int(x * 224)]
        rough = 43 if index == 3 else 14
        assert min(np.abs(near - colour).max() for colour in expected[index][1]) <= rough, (x, y, index, near)
        seen[index] += 1
    assert min(seen.values()) > 40, seen


def test_an_element_that_covers_a_tile_fills_it(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(-1.5, 2.5), close=True, natural="water")
    world.node((0.5, 0.5), amenity="bench")
    region = opened(tmp_path, world)
    row = next(r for r in range(region.n_tiles) if (region["tile/x"][r], region["tile/y"][r]) == (X, Y))
    assert np.abs(draw(region, row) - colour_of(AREA, natural="water")).max() <= 6


def test_a_road_is_straight_over_the_edge_of_two_tiles_and_fills_both_to_the_edge(region: RegionStore) -> None:
    left, right = draw(region, row_of(region)), draw(region, row_of(region, 1))
    road = colour_of(LINE, highway="primary", width="20")
    rows = [np.flatnonzero(np.abs(column - road).max(1) <= 8) for column in (left[:, -1], right[:, 0])]
    assert rows[0].tolist() == rows[1].tolist() and len(rows[0]) >= 6


def trees(n: int) -> Map:
    """Trees on a lattice in one tile, and roads that cross the edge to the next tile."""
    world, side = Map(), math.isqrt(n)
    for number in range(n):
        world.node((0.05 + 0.9 * (number % side) / side, 0.05 + 0.9 * (number // side) / side), natural="tree")
    return world


def test_elements_are_left_out_at_the_stated_rate(tmp_path: Path) -> None:
    region = opened(tmp_path, trees(1600))
    for missing, seed in ((0.1, 0), (0.1, 5), (0.4, 0)):
        drawn = TileDrawer(region, DrawingConfig(missing=missing, seed=seed), ImageForm()).draw(0)
        assert drawn.shown + drawn.left_out == 1600
        assert abs(drawn.left_out - 1600 * missing) < 4 * math.sqrt(1600 * missing * (1 - missing))
    none, all_ = (TileDrawer(region, DrawingConfig(missing=m), ImageForm()).draw(0) for m in (0.0, 1.0))
    assert none.left_out == 0 and all_.shown == 0


def test_an_element_is_missing_in_all_of_its_tiles_or_in_none(tmp_path: Path) -> None:
    world = Map()
    for number in range(40):
        y = 0.02 + 0.024 * number
        world.way(100 + number, [(0.5, y), (1.5, y)], highway="footway", width="4")
    region = opened(tmp_path, world)
    both = [draw(region, row_of(region, dx), missing=0.5) for dx in (0, 1)]
    ground = np.array(GROUND.colour)  # much darker than a path
    shown = [
        [bool((image[int((0.02 + 0.024 * n) * 224), column] - ground).sum() > 90) for n in range(40)]
        for image, column in zip(both, (180, 40), strict=True)
    ]
    assert shown[0] == shown[1] and 8 < sum(shown[0]) < 32


def test_noise_has_the_stated_strength(region: RegionStore) -> None:
    row = row_of(region)
    plain, noisy = draw(region, row), draw(region, row, noise=9.0)
    changed = noisy - plain
    inside = (plain.min(2) > 40) & (plain.max(2) < 215)  # not limited to 0 … 255
    assert changed[inside].std() == pytest.approx(9.0, rel=0.05) and abs(changed[inside].mean()) < 1
    assert (draw(region, row, noise=9.0) == noisy).all()
    assert (draw(region, row, noise=9.0, seed=1) != noisy).any()


def test_colours_change_by_no_more_than_the_jitter(region: RegionStore) -> None:
    row = row_of(region)
    changed = np.abs(draw(region, row, jitter=12.0) - draw(region, row))
    assert 1 < changed.max() <= 13  # roughness is rounded before and after


def test_shadows_fall_away_from_the_sun_and_as_far_as_it_says(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(0.4, 0.6), close=True, building="office", height="40")
    world.way(2, square(-0.2, 1.2), close=True, natural="sand")
    region = opened(tmp_path, world)
    row = next(r for r in range(region.n_tiles) if (region["tile/x"][r], region["tile/y"][r]) == (X, Y))
    east_m, south_m = shadow_shift(TileId(16, X, Y), 0)
    assert south_m < 0  # to the north, because the sun is in the south
    tile_m = float(region["tile/east_m"][row])
    reach = shapely.Polygon(square(0.4, 0.6))
    steps = np.linspace(0, 1, 200)
    swept = shapely.union_all(
        [shapely.affinity.translate(reach, 40 * east_m * t / tile_m, 40 * south_m * t / tile_m) for t in steps]
    )
    dark = np.abs(draw(region, row, shadows=1.0) - draw(region, row)).max(2) > 60
    for r in range(2, 222, 2):
        for c in range(2, 222, 2):
            here = shapely.Point((c + 0.5) / 224, (r + 0.5) / 224)
            if min(swept.boundary.distance(here), reach.boundary.distance(here)) > 5 / 224:
                assert dark[r, c] == (swept.contains(here) and not reach.contains(here)), (r, c)
    assert dark.sum() > 500
    south = shadow_shift(TileId(16, X, 2**16 - Y), 0)
    assert south[1] > 0


def test_near_infrared_separates_plants_and_water(region: RegionStore) -> None:
    image = draw(region, row_of(region), bands="rgbn")
    assert image.shape == (224, 224, 4)
    wood, water, roof = (image[int(y * 224), int(x * 224), 3] for x, y in ((0.52, 0.7), (0.58, 0.7), (0.15, 0.25)))
    assert wood > 90 and water < 40 and 60 < roof < 230
    assert (image[..., :3] == draw(region, row_of(region))).all()


@pytest.mark.parametrize(("codec", "size"), [("raw", 224), ("webp-lossless", 64)])
def test_the_file_has_the_same_bytes_whatever_the_number_of_threads(
    region: RegionStore, tmp_path: Path, codec: str, size: int
) -> None:
    form, drawing = ImageForm(size_px=size, codec=codec), DrawingConfig()
    counts = [write_drawn_images(region, tmp_path / f"{threads}.h5", drawing, form, threads) for threads in (1, 2)]
    one, two = ((tmp_path / f"{threads}.h5").read_bytes() for threads in (1, 2))
    assert one == two and counts[0] == counts[1]
    store = ImageStore(tmp_path / "1.h5", any_form=True)
    assert len(store) == counts[0]["images"] == region.n_tiles
    row = int(store.rows_of([16], [X], [Y])[0])
    drawn = TileDrawer(region, drawing, form).draw(row_of(region))
    assert (store.image[row] == drawn.pixels).all()


def test_chance_is_uniform_and_independent() -> None:
    ids = np.arange(20_000)
    first, second = chance(0, Purpose.MISSING, 1, ids), chance(0, Purpose.SHADOW, 1, ids)
    bins = np.histogram(first, 20, (0, 1))[0]
    assert ((bins - 1000) ** 2 / 1000).sum() < 50  # chi-squared with 19 degrees of freedom: p < 1e-4
    for other in (second, chance(1, Purpose.MISSING, 1, ids), chance(0, Purpose.MISSING, 2, ids)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.03
    assert first[7] == chance(0, Purpose.MISSING, 1, 7)


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({"building": "no"}, AREA),
        ({"building": "yes", "location": "underground"}, AREA),
        ({"highway": "corridor"}, LINE),
        ({"highway": "traffic_signals"}, POINT),
        ({"highway": "primary"}, 3),
        ({"waterway": "stream", "tunnel": "culvert"}, LINE),
        ({"boundary": "administrative"}, AREA),
        ({}, AREA),
    ],
)
def test_hidden_and_invisible_elements_are_not_drawn(tags: dict[str, str], kind: int) -> None:
    assert paints_of(tags, kind) == ()


@pytest.mark.parametrize(
    ("tags", "height_m"),
    [
        ({"building": "house", "height": "7.5 m"}, 7.5),
        ({"building": "yes", "height": "100 ft"}, 30.48),
        ({"building": "yes", "building:levels": "4"}, 13.5),
        ({"building": "yes", "building:levels": "2;3"}, 6.5),
        ({"building": "garage", "height": "-3"}, 3.0),
        ({"building": "yes", "height": "9999"}, 150.0),
    ],
)
def test_heights_come_from_height_or_levels_or_the_kind_of_building(tags: dict[str, str], height_m: float) -> None:
    assert {round(paint.height_m, 6) for paint in paints_of(tags, AREA)} == {height_m}


@pytest.mark.parametrize(
    ("setting", "words", "corrected"),
    [
        ("missing", "expects `key=value`", "missing=0.2"),
        ("missing=2", "at most 1", "missing=0.1"),
        ("noise=nan", "finite", "noise=4.0"),
        ("noise=x", "number", "noise=4.0"),
        ("seed=-1", "at least 0", "seed=0"),
        ("mising=0.3", "unknown key `mising`", "missing=0.3"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_command_to_paste(setting: str, words: str, corrected: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        load_drawing(["shadows=0.5", setting])
    assert refused.value.hint is not None and refused.value.hint.options == (("--draw", corrected),)


def test_the_last_of_several_values_is_used() -> None:
    assert load_drawing(["missing=0.3", "missing = 0.2", "seed=4"]) == DrawingConfig(missing=0.2, seed=4)
