"""OSM XML as text: a building (way 10 of the nodes 1 to 4) and a cafe (node 5). pyproj computes the building's area."""

from __future__ import annotations

from pathlib import Path

import shapely
from pyproj import Geod
from tiles_reader import Tiles, run_tiler

PLACES = {1: (-77.8595581, 40.7967616), 2: (-77.8584595, 40.7967616), 3: (-77.8584595, 40.7959299)}
PLACES |= {4: (-77.8595581, 40.7959299), 5: (-77.8568115, 40.7946823)}
GEOD = Geod(ellps="WGS84")
AREA_M2 = abs(GEOD.geometry_area_perimeter(shapely.Polygon([PLACES[number] for number in (1, 2, 3, 4)]))[0])

CAFE_TAG = '<tag k="amenity" v="cafe"/>'
BUILDING_TAG = '<tag k="building" v="yes"/>'
REFS = "".join(f'<nd ref="{number}"/>' for number in (1, 2, 3, 4, 1))


def place(number: int) -> str:
    return f'lat="{PLACES[number][1]}" lon="{PLACES[number][0]}"'


def node(number: int, inside: str = "", more: str = "") -> str:
    return f'<node id="{number}" {place(number)} {more}>{inside}</node>'


NODES = "".join(node(number) for number in (1, 2, 3, 4))
CAFE = node(5, CAFE_TAG)
WAY = f'<way id="10">{REFS}{BUILDING_TAG}</way>'
GEOM = "".join(f'<nd ref="{number}" {place(number)}/>' for number in (1, 2, 3, 4, 1))
GEOM_WITHOUT_REFS = "".join(f"<nd {place(number)}/>" for number in (1, 2, 3, 4, 1))
BOUNDS = '<bounds minlat="40.7959299" minlon="-77.8595581" maxlat="40.7967616" maxlon="-77.8584595"/>'
CENTRE = '<center lat="40.7963457" lon="-77.8590088"/>'
META = 'version="3" timestamp="2024-01-01T00:00:00Z" changeset="7" uid="9" user="a"'


def osm(body: str, generator: str = "Overpass API", prolog: str = "", root: str = "") -> str:
    return f'{prolog}<osm version="0.6" generator="{generator}"{root}>{body}</osm>'


def tile_text(tmp_path: Path, text: str | bytes, name: str = "map.osm") -> tuple[Tiles, dict[str, dict[str, int]]]:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return run_tiler(tmp_path / name, tmp_path / "tiles.h5")


def area_of(tiles: Tiles, ref: str) -> float:
    return sum(piece.area_m2 for _, piece in tiles.all_pieces() if piece.ref == ref)


def kind_of(tiles: Tiles, ref: str) -> str:
    return {piece.kind for _, piece in tiles.all_pieces() if piece.ref == ref}.pop()


def relation(inside: str, number: int = 30, tags: str = "", more: str = "") -> str:
    tags = tags or '<tag k="type" v="multipolygon"/><tag k="landuse" v="retail"/>'
    return f'<relation id="{number}" {more}>{inside}{tags}</relation>'


MEMBER = '<member type="way" ref="10" role="outer"/>'
MEMBER_GEOM = f'<member type="way" ref="10" role="outer">{GEOM_WITHOUT_REFS}</member>'
