"""A page of invented results, for the tests of its text and of its looks in a browser."""

from __future__ import annotations

import numpy as np

from geojepa_cli.grid import TileId, ground_size, tile_bounds
from geojepa_cli.pages.neighbours.page import Card, render_page
from geojepa_cli.search.results import EntityRef, SearchResult
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, MapObject, TileMap

TILE = TileId(16, 18052, 25957)
EVIL = "<script>alert('x')</script>\"&"
SQUARE = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
HOLE = np.array([[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]])  # counter-clockwise: has to be turned


def card(rank: int, entity: str | None = None, image: bool = False, tag: str = "building=house") -> Card:
    """A result whose map has a house with a hole and a road, both with a dangerous name."""
    bounds, ground = tile_bounds(*TILE), ground_size(*TILE)
    url = f"https://www.openstreetmap.org/{entity or '#map=17/35/-80'}"
    ref = EntityRef(entity, 7, "w5@7", 0) if entity else None
    result = SearchResult(
        rank, 0.9, "a", TILE.name, "14_1_2", ref, -80.835, 35.0, bounds, ground, 42, ((tag, 3),), url, 0
    )
    house = MapObject("way/5", {"building": "house", "name": EVIL}, ((OUTER, SQUARE), (INNER, HOLE)), area_m2=100)
    road = MapObject("way/6", {"highway": "primary", "name": EVIL}, ((LINE, np.array([[0.0, 0.5], [1.0, 0.5]])),))
    pixels = np.full((3, 224, 224), 90, np.uint8) if image else None
    return Card(result, TileMap(TILE.name, bounds, *ground, (house, road)), pixels)


def page(*cards: Card) -> str:
    """The page of a query and its neighbours."""
    bounds = np.array([tile_bounds(*TILE), tile_bounds(16, 18060, 25960), tile_bounds(16, 9000, 25960)])
    return render_page(cards, "tiny@0123456789ab", ["a"], 1234, bounds, ["© OpenStreetMap contributors, ODbL 1.0"])
