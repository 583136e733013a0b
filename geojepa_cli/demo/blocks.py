"""Fills the blocks between the demo city's streets with buildings, land use and points, depending on the district."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from geojepa_cli.demo.answers import Cell
from geojepa_cli.demo.plan import District, Plan, Rect
from geojepa_cli.demo.sheet import Sheet, Tags, corners
from geojepa_cli.demo.streets import RAIL_OFFSET, Network

MARGIN = 0.03  # distance between a block and the border of its tile, in tiles
KERB = 0.028  # distance between a block and the centreline of its street, in tiles

Fill = Callable[["Site", random.Random, Rect], None]


class Site:
    """A tile of the demo city, with methods that add buildings, areas and points to the tile.

    An element is added only if it does not overlap the river, the motorway, the railway or a stream.
    """

    def __init__(self, plan: Plan, sheet: Sheet, network: Network, cell: Cell) -> None:
        self.plan, self.sheet, self.cell = plan, sheet, cell
        self._stream = network.streams.get(cell)
        self._down, self._across = network.in_tile(cell)

    def blocks(self) -> Iterator[Rect]:
        """Yields the blocks of the tile: rectangles (x0, y0, x1, y1) between the streets and the border of the tile."""
        xs = _gaps(self.cell[0], [street.at for street in self._down])
        ys = _gaps(self.cell[1], [street.at for street in self._across])
        for y0, y1 in ys:
            for x0, x1 in xs:
                if x1 - x0 > 0.06 and y1 - y0 > 0.06:
                    yield x0, y0, x1, y1

    def is_free(self, rect: Rect) -> bool:
        """Returns True if a rectangle does not overlap the river, the motorway, the railway or the tile's stream."""
        x0, y0, x1, y1 = rect
        plan = self.plan
        if self._stream is not None and y0 < self._stream + 0.035 and y1 > self._stream - 0.035:
            return False
        if x0 < plan.rail_column + RAIL_OFFSET + 0.03 and x1 > plan.rail_column + RAIL_OFFSET - 0.03:
            return False
        for k in range(5):
            x, y = x0 + (x1 - x0) * k / 4, y0 + (y1 - y0) * k / 4
            if x0 < plan.river(y) + 0.12 and x1 > plan.river(y) - 0.09:
                return False
            if y0 < plan.motorway(x) + 0.07 and y1 > plan.motorway(x) - 0.07:
                return False
        return True

    def area(self, rect: Rect, tags: Tags) -> bool:
        """Adds a rectangular area. Returns True if the area was added.

        An area is not added if it is too small, or if it overlaps the river, the motorway, the railway or a stream.
        """
        if rect[2] - rect[0] < 0.01 or rect[3] - rect[1] < 0.01 or not self.is_free(rect):
            return False
        self.sheet.rect(rect, tags)
        return True

    def building(self, rect: Rect, tags: Tags, courtyard: bool = False) -> bool:
        if not self.is_free(rect):
            return False
        hole = corners(_inset(rect, 0.3))[::-1] if courtyard else ()
        self.sheet.building(corners(rect), tags, hole)
        return True

    def point(self, x: float, y: float, tags: Tags) -> None:
        if self.is_free((x - 0.004, y - 0.004, x + 0.004, y + 0.004)):
            self.sheet.node(x, y, tags)
            if "highway" in tags:
                self.sheet.ledger.highway([self.cell])


def fill_blocks(plan: Plan, sheet: Sheet, districts: dict[Cell, District], network: Network) -> None:
    """Adds buildings, land use and points to every block (the ground between streets) of every tile."""
    for cell, district in districts.items():
        fill = FILLS.get(district)
        if fill is None:
            continue
        site = Site(plan, sheet, network, cell)
        lot = plan.random("blocks", *cell)
        for block in site.blocks():
            fill(site, lot, block)


def _residential(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds rows of houses to a residential block.

    The density and the type of the houses are the same in all four tiles of a square of 2 × 2 tiles. They are chosen
    at random for each square.
    """
    x0, y0, x1, y1 = block
    quarter = site.plan.random("quarter", site.cell[0] // 2, site.cell[1] // 2)
    density, kind = 0.25 + 0.7 * quarter.random(), quarter.choice(["house", "house", "detached", "apartments", "yes"])
    if lot.random() < 0.5:
        site.area(_inset(block, 0.02), {"landuse": "residential"})
    rows = [y0 + 0.012] + ([y1 - 0.045] if y1 - y0 > 0.12 else []) + ([(y0 + y1) / 2] if y1 - y0 > 0.4 else [])
    for y in rows:
        x = x0 + 0.01
        while x + 0.045 < x1:
            if lot.random() < density:
                _house(site, lot, (x, y, x + 0.022 + 0.018 * lot.random(), y + 0.018 + 0.012 * lot.random()), kind)
            x += 0.058
    for _ in range(lot.randrange(4)):
        site.point(x0 + (x1 - x0) * lot.random(), (y0 + y1) / 2 + 0.04 * lot.random(), {"natural": "tree"})


def _house(site: Site, lot: random.Random, rect: Rect, kind: str) -> None:
    tags = {"building": kind}
    if lot.random() < 0.4:
        tags |= {"addr:housenumber": str(100 + lot.randrange(900)), "addr:city": "Pineville"}
    if lot.random() < 0.15:
        tags["building:levels"] = "2" if kind != "apartments" else "4"
    if not site.building(rect, tags):
        return
    x0, _, _, y1 = rect
    if lot.random() < 0.08:
        drive = [site.sheet.node(x0 - 0.006, y1), site.sheet.node(x0 - 0.006, y1 - 0.028)]
        site.sheet.road(drive, {"highway": "service", "service": "driveway"})
    elif lot.random() < 0.06:
        site.area((x0, y1 + 0.012, x0 + 0.012, y1 + 0.024), {"leisure": "swimming_pool", "access": "private"})


def _downtown(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds large buildings with shops and cafés to a downtown block. Some blocks get a plaza instead."""
    x0, y0, x1, y1 = block
    if (
        lot.random() < 0.12
        and x1 - x0 < 0.4
        and site.area(_inset(block, 0.12), {"place": "square", "highway": "pedestrian"})
    ):
        site.sheet.ledger.highway([site.cell])
        site.point((x0 + x1) / 2, (y0 + y1) / 2, {"amenity": "fountain"})
        return
    columns, rows = max(1, round((x1 - x0) / 0.12)), max(1, round((y1 - y0) / 0.12))
    for rect in _split(_inset(block, 0.05), columns, rows):
        if lot.random() < 0.1:
            site.area(rect, {"amenity": "parking", "parking": lot.choice(["surface", "multi-storey"]), "fee": "yes"})
            continue
        kind = lot.choice(["commercial", "office", "retail", "apartments", "yes", "commercial"])
        tags = {"building": kind, "building:levels": str(3 + lot.randrange(25))}
        if lot.random() < 0.2:
            tags["name"] = f"{lot.choice(['Trade', 'Tryon', 'Union', 'Queen'])} {lot.choice(['Tower', 'House'])}"
        wide = min(rect[2] - rect[0], rect[3] - rect[1]) > 0.07
        site.building(_inset(rect, 0.12 + 0.1 * lot.random()), tags, courtyard=wide and lot.random() < 0.12)
        for _ in range(lot.randrange(3)):
            tags = lot.choice(DOWNTOWN_PLACES)
            x, y = rect[0] + (rect[2] - rect[0]) * lot.random(), rect[1] + (rect[3] - rect[1]) * lot.random()
            site.point(x, y, dict(tags))


def _commercial(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds large stores with a car park in front to a commercial block."""
    x0, y0, x1, y1 = block
    if lot.random() < 0.6:
        site.area(_inset(block, 0.02), {"landuse": lot.choice(["retail", "commercial"])})
    if min(x1 - x0, y1 - y0) < 0.1:
        return
    middle = y0 + 0.5 * (y1 - y0)
    for rect in _split((x0 + 0.01, y0 + 0.015, x1 - 0.01, middle), max(1, round((x1 - x0) / 0.15)), 1):
        shop = lot.choice(["supermarket", "furniture", "department_store", "doityourself", "clothes"])
        tags = {"building": "retail"} | ({"shop": shop} if lot.random() < 0.6 else {})
        site.building(_inset(rect, 0.08 + 0.1 * lot.random()), tags)
    if site.area((x0 + 0.015, middle + 0.02, x1 - 0.015, y1 - 0.02), {"amenity": "parking", "surface": "asphalt"}):
        aisle = middle + 0.5 * (y1 - middle)
        nodes = [site.sheet.node(x0 + 0.02, aisle), site.sheet.node(x1 - 0.02, aisle)]
        site.sheet.road(nodes, {"highway": "service", "service": "parking_aisle"}, 10 if lot.random() < 0.1 else None)
    for _ in range(lot.randrange(4)):
        site.point(x0 + (x1 - x0) * lot.random(), middle + 0.01, dict(lot.choice(COMMERCIAL_PLACES)))


def _industrial(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds warehouses, factories, storage tanks, car parks and fences to an industrial block."""
    x0, y0, x1, y1 = block
    if lot.random() < 0.7:
        site.area(_inset(block, 0.02), {"landuse": "industrial"})
    if min(x1 - x0, y1 - y0) < 0.1:
        return
    for rect in _split(_inset(block, 0.06), max(1, round((x1 - x0) / 0.22)), max(1, round((y1 - y0) / 0.22))):
        choice = lot.random()
        if choice < 0.6:
            kind = lot.choice(["warehouse", "industrial", "industrial", "yes"])
            site.building(_inset(rect, 0.1 + 0.15 * lot.random()), {"building": kind})
        elif choice < 0.8:
            for tank in _split(_inset(rect, 0.2), 3, 2):
                site.area(_inset(tank, 0.2), {"man_made": "storage_tank", "content": "fuel"})
        else:
            site.area(_inset(rect, 0.1), {"amenity": "parking", "access": "private"})
        if lot.random() < 0.4:
            fence = [site.sheet.node(rect[0], y) for y in (rect[1], rect[3])]
            site.sheet.way(fence, {"barrier": "fence", "fence_type": "chain_link"})


def _farm(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds fields, farm buildings and rows of trees to a block of farmland. Some blocks also get a track."""
    x0, y0, x1, y1 = block
    for rect in _split(block, max(1, round((x1 - x0) / 0.3)), max(1, round((y1 - y0) / 0.4))):
        crop = lot.choice(["corn", "soy", "wheat", "hay"])
        kind = lot.choice([{"landuse": "farmland", "crop": crop}, {"landuse": "meadow"}, {"landuse": "farmland"}])
        site.area(_inset(rect, 0.04), dict(kind))
        if lot.random() < 0.4:
            site.sheet.line([(rect[0], rect[1]), (rect[0], rect[3])], {"natural": "tree_row"})
        if lot.random() < 0.12:
            for k in range(1 + lot.randrange(4)):
                left, top = rect[0] + 0.03 + 0.05 * k, rect[1] + 0.04
                kind_of = lot.choice(["barn", "farm", "farm_auxiliary", "house"])
                if left + 0.04 < rect[2]:
                    site.building((left, top, left + 0.035, top + 0.025), {"building": kind_of})
    if lot.random() < 0.2 and y1 - y0 > 0.3 and x1 - x0 > 0.3:
        nodes = [site.sheet.node(x, y0 + 0.5 * (y1 - y0) + 0.1) for x in (x0, (x0 + x1) / 2, x1)]
        site.sheet.path(nodes, {"highway": "track", "tracktype": lot.choice(["grade2", "grade3", "grade4"])})


def _wood(site: Site, lot: random.Random, block: Rect) -> None:
    """Adds forest, scrub and ponds to a block of woodland. Some blocks also get a power line, a path or both."""
    x0, y0, x1, y1 = block
    leaves = lot.choice(["broadleaved", "needleleaved", "mixed"])
    for rect in _split(block, max(1, round((x1 - x0) / 0.45)), max(1, round((y1 - y0) / 0.45))):
        tags = {"natural": "wood", "leaf_type": leaves} if lot.random() < 0.8 else {"natural": "scrub"}
        site.area(_inset(rect, 0.03), tags)
        if lot.random() < 0.15:
            site.area(_inset(rect, 0.35), {"natural": "water", "water": "pond"})
    if y1 - y0 < 0.3 or x1 - x0 < 0.3:
        return
    if lot.random() < 0.3:
        towers = [site.sheet.node(x0 + (x1 - x0) * k / 3, y0 + 0.13, {"power": "tower"}) for k in range(4)]
        site.sheet.way(towers, {"power": "line", "voltage": "115000", "cables": "3"})
    if lot.random() < 0.35:
        nodes = [site.sheet.node(x0 + (x1 - x0) * k / 4, y1 - 0.1 - 0.05 * lot.random()) for k in range(5)]
        site.sheet.path(nodes, {"highway": "path", "surface": "ground", "bicycle": lot.choice(["yes", "no"])})


DOWNTOWN_PLACES: tuple[Tags, ...] = (
    {"amenity": "cafe"}, {"amenity": "restaurant", "cuisine": "italian"}, {"amenity": "restaurant", "cuisine": "thai"},
    {"amenity": "bank", "atm": "yes"}, {"amenity": "bar"}, {"shop": "clothes"}, {"shop": "books"}, {"shop": "bakery"},
    {"office": "lawyer"}, {"office": "company"}, {"tourism": "hotel"}, {"tourism": "museum"}, {"amenity": "theatre"},
    {"amenity": "bench"}, {"amenity": "bicycle_parking", "capacity": "10"}, {"highway": "bus_stop", "bus": "yes"},
    {"natural": "tree"}, {"amenity": "pharmacy"}, {"shop": "convenience", "opening_hours": "24/7"},
)  # fmt: skip
COMMERCIAL_PLACES: tuple[Tags, ...] = (
    {"amenity": "fast_food", "cuisine": "burger", "drive_through": "yes"}, {"amenity": "fuel"}, {"shop": "car"},
    {"amenity": "bank"}, {"shop": "car_repair"}, {"advertising": "billboard"}, {"amenity": "charging_station"},
)  # fmt: skip
FILLS: dict[District, Fill] = {
    District.RESIDENTIAL: _residential,
    District.DOWNTOWN: _downtown,
    District.COMMERCIAL: _commercial,
    District.INDUSTRIAL: _industrial,
    District.FARM: _farm,
    District.WOOD: _wood,
}


def _gaps(start: int, streets: list[float]) -> list[tuple[float, float]]:
    edges = [start + MARGIN, *(edge for at in sorted(streets) for edge in (at - KERB, at + KERB)), start + 1 - MARGIN]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _inset(rect: Rect, share: float) -> Rect:
    """Returns a copy of a rectangle with each side moved inwards by the fraction `share` of the width or height."""
    x0, y0, x1, y1 = rect
    dx, dy = share * (x1 - x0), share * (y1 - y0)
    return x0 + dx, y0 + dy, x1 - dx, y1 - dy


def _split(rect: Rect, columns: int, rows: int) -> Iterator[Rect]:
    x0, y0, x1, y1 = rect
    width, height = (x1 - x0) / columns, (y1 - y0) / rows
    for row in range(rows):
        for column in range(columns):
            yield (
                x0 + column * width, y0 + row * height, x0 + (column + 1) * width, y0 + (row + 1) * height,
            )  # fmt: skip
