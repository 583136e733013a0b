"""Appearance of OSM elements of real maps that the demo city does not have: land cover, roads, lines and points.

The tables extend those of `paints.py`. There is one table for points, one for lines and one for areas. Their keys are
tags (key, value).
"""

from __future__ import annotations

from geojepa_cli.drawing.paints import AREAS as DEMO_AREAS
from geojepa_cli.drawing.paints import LINES as DEMO_LINES
from geojepa_cli.drawing.paints import POINTS as DEMO_POINTS
from geojepa_cli.drawing.paints import ROADS as DEMO_ROADS
from geojepa_cli.drawing.paints import Colour, Paint

Pairs = dict[tuple[str, str], Paint]

GROUND = Paint(0, (124, 128, 98), 14)  # where the map has no land cover
_WATER = Paint(15, (56, 78, 88), 3)
_PAVED = Paint(16, (150, 148, 143), 5)
_ASPHALT = Paint(16, (112, 112, 114), 8)
_LAWN = Paint(11, (116, 134, 82), 8)
_CAMPUS = Paint(9, (126, 132, 100), 12)
_YARD = Paint(10, (146, 138, 120), 10)
_BARE = Paint(11, (168, 154, 128), 12)
_SCRUB = Paint(12, (98, 108, 68), 26)
_WOOD = Paint(12, (58, 80, 48), 34)
_PANELS = Paint(52, (38, 46, 72), 3)
_TANK = Paint(50, (214, 214, 210), 2, height_m=8.0)

AREAS: Pairs = DEMO_AREAS | {
    ("landuse", "forest"): _WOOD,
    ("landuse", "orchard"): Paint(12, (104, 118, 70), 28),
    ("landuse", "vineyard"): Paint(12, (122, 124, 78), 18),
    ("landuse", "plant_nursery"): Paint(12, (110, 122, 78), 20),
    ("landuse", "allotments"): Paint(10, (108, 120, 80), 26),
    ("landuse", "cemetery"): Paint(10, (110, 122, 88), 18),
    ("landuse", "religious"): _CAMPUS,
    ("landuse", "education"): _CAMPUS,
    ("landuse", "farmyard"): Paint(10, (146, 138, 116), 14),
    ("landuse", "garages"): _ASPHALT,
    ("landuse", "railway"): Paint(10, (130, 122, 112), 10),
    ("landuse", "depot"): _YARD,
    ("landuse", "port"): _YARD,
    ("landuse", "construction"): Paint(10, (164, 146, 120), 14),
    ("landuse", "brownfield"): Paint(10, (146, 138, 112), 16),
    ("landuse", "greenfield"): _LAWN,
    ("landuse", "quarry"): Paint(11, (182, 172, 156), 14),
    ("landuse", "landfill"): Paint(11, (150, 140, 120), 14),
    ("landuse", "recreation_ground"): _LAWN,
    ("landuse", "village_green"): _LAWN,
    ("landuse", "flowerbed"): Paint(13, (124, 122, 84), 20),
    ("landuse", "greenhouse_horticulture"): Paint(11, (196, 202, 200), 8),
    ("landuse", "basin"): _WATER,
    ("landuse", "reservoir"): _WATER,
    ("landuse", "salt_pond"): Paint(15, (150, 158, 156), 4),
    ("natural", "bay"): _WATER,
    ("natural", "strait"): _WATER,
    ("natural", "grassland"): Paint(11, (136, 140, 90), 12),
    ("natural", "heath"): Paint(12, (112, 104, 78), 20),
    ("natural", "shrubbery"): Paint(13, (86, 104, 62), 24),
    ("natural", "tree_group"): Paint(42, (54, 76, 44), 30, height_m=7.0),
    ("natural", "wetland"): Paint(12, (92, 104, 78), 18),
    ("natural", "mud"): Paint(12, (118, 106, 88), 6),
    ("natural", "beach"): Paint(12, (212, 198, 164), 6),
    ("natural", "sand"): Paint(12, (210, 194, 158), 6),
    ("natural", "shoal"): Paint(12, (190, 180, 150), 6),
    ("natural", "bare_rock"): Paint(12, (152, 146, 138), 18),
    ("natural", "rock"): Paint(12, (152, 146, 138), 18),
    ("natural", "scree"): Paint(12, (160, 154, 146), 20),
    ("natural", "shingle"): Paint(12, (172, 166, 154), 12),
    ("natural", "glacier"): Paint(12, (228, 234, 238), 6),
    ("leisure", "garden"): Paint(11, (110, 128, 80), 18),
    ("leisure", "golf_course"): Paint(9, (112, 138, 78), 8),
    ("leisure", "common"): _LAWN,
    ("leisure", "dog_park"): Paint(11, (138, 136, 96), 12),
    ("leisure", "sports_centre"): _CAMPUS,
    ("leisure", "stadium"): Paint(10, (134, 134, 124), 10),
    ("leisure", "track"): Paint(14, (168, 98, 80), 4),
    ("golf", "fairway"): Paint(13, (104, 140, 72), 5),
    ("golf", "green"): Paint(14, (120, 160, 84), 3),
    ("golf", "tee"): Paint(14, (112, 150, 78), 3),
    ("golf", "bunker"): Paint(14, (222, 210, 180), 4),
    ("golf", "rough"): Paint(12, (116, 126, 76), 16),
    ("amenity", "parking_space"): Paint(17, (104, 104, 106), 12),
    ("amenity", "bicycle_parking"): _PAVED,
    ("amenity", "bus_station"): _ASPHALT,
    ("amenity", "fuel"): Paint(16, (150, 148, 144), 8),
    ("amenity", "marketplace"): _PAVED,
    ("amenity", "grave_yard"): Paint(10, (110, 122, 88), 18),
    ("amenity", "fountain"): Paint(17, (110, 160, 176), 2),
    **{("amenity", kind): _CAMPUS for kind in ("school", "university", "college", "kindergarten", "hospital")},
    ("aeroway", "aerodrome"): Paint(8, (132, 136, 98), 8),
    ("aeroway", "runway"): Paint(20, (96, 96, 100), 5),
    ("aeroway", "taxiway"): Paint(19, (128, 128, 130), 5),
    ("aeroway", "helipad"): _PAVED,
    ("area:highway", "yes"): _ASPHALT,
    ("man_made", "pier"): Paint(29, (164, 154, 138), 4),
    ("man_made", "bridge"): Paint(39, (160, 158, 154), 4),
    ("man_made", "breakwater"): Paint(29, (150, 146, 138), 12),
    ("man_made", "groyne"): Paint(29, (140, 136, 128), 10),
    ("man_made", "wastewater_plant"): Paint(10, (124, 132, 104), 10),
    ("man_made", "water_works"): Paint(10, (124, 132, 104), 10),
    ("man_made", "silo"): _TANK,
    ("man_made", "water_tower"): Paint(50, (206, 206, 202), 2, height_m=25.0),
    ("power", "plant"): _YARD,
    ("power", "substation"): Paint(16, (164, 160, 152), 12),
    ("generator:source", "solar"): _PANELS,
    ("barrier", "hedge"): Paint(42, (66, 88, 52), 22),
    ("barrier", "wall"): Paint(41, (164, 158, 150), 3),
    ("barrier", "city_wall"): Paint(41, (150, 142, 130), 6),
    ("waterway", "riverbank"): _WATER,
    ("waterway", "dock"): _WATER,
    ("tourism", "zoo"): Paint(9, (112, 126, 84), 18),
    ("tourism", "theme_park"): Paint(9, (138, 138, 118), 14),
    ("tourism", "camp_site"): Paint(9, (124, 132, 92), 16),
}
PITCHES: dict[str, tuple[Colour, ...]] = {  # sport -> colours
    "tennis": ((66, 104, 132), (156, 92, 70), (78, 122, 86)),
    "basketball": ((122, 122, 124), (150, 84, 68), (84, 112, 96)),
    "beachvolleyball": ((212, 196, 158),),
    "baseball": ((132, 140, 92), (160, 134, 100)),
    "equestrian": ((196, 176, 140),),
    "skateboard": ((164, 164, 162),),
}
ROADS: dict[str, tuple[float, Colour]] = DEMO_ROADS | {
    "trunk": (14.0, (134, 134, 134)),
    "motorway_link": (6.0, (160, 158, 154)),
    "trunk_link": (6.0, (130, 130, 130)),
    "primary_link": (6.0, (122, 122, 123)),
    "secondary_link": (6.0, (124, 124, 125)),
    "tertiary_link": (6.0, (126, 126, 126)),
    "living_street": (6.0, (140, 138, 135)),
    "pedestrian": (6.0, (168, 163, 153)),
    "road": (7.0, (130, 130, 130)),
    "busway": (7.0, (120, 120, 121)),
    "raceway": (9.0, (96, 96, 98)),
    "bridleway": (2.2, (160, 142, 112)),
    "steps": (2.2, (160, 156, 148)),
    "construction": (8.0, (176, 156, 126)),
    "rest_area": (12.0, (124, 124, 125)),
    "services": (12.0, (124, 124, 125)),
}
SURFACES: dict[str, Colour] = {
    **dict.fromkeys(("unpaved", "gravel", "fine_gravel", "pebblestone", "compacted"), (174, 162, 138)),
    **dict.fromkeys(("ground", "dirt", "earth", "mud", "woodchips"), (150, 132, 104)),
    "sand": (200, 182, 146),
    **dict.fromkeys(("grass", "grass_paver"), (126, 132, 88)),
    **dict.fromkeys(("concrete", "concrete:plates", "concrete:lanes"), (176, 174, 168)),
    **dict.fromkeys(("paving_stones", "sett", "cobblestone", "unhewn_cobblestone", "bricks"), (154, 148, 140)),
    "wood": (146, 124, 98),
    "tartan": (168, 94, 78),
    **dict.fromkeys(("artificial_turf", "grass;artificial_turf"), (70, 128, 72)),
}
LINES: Pairs = DEMO_LINES | {
    ("waterway", "river"): Paint(14, (56, 78, 88), 3, width_m=14.0),
    ("waterway", "canal"): Paint(14, (58, 78, 82), 3, width_m=9.0),
    ("waterway", "ditch"): Paint(14, (76, 90, 72), 8, width_m=1.5),
    ("waterway", "drain"): Paint(14, (76, 90, 78), 8, width_m=1.5),
    ("waterway", "weir"): Paint(18, (186, 190, 190), 4, width_m=2.0),
    ("waterway", "dam"): Paint(18, (166, 164, 158), 4, width_m=6.0),
    ("railway", "tram"): Paint(37, (112, 106, 102), 6, width_m=2.6),
    ("railway", "light_rail"): Paint(36, (106, 96, 88), 8, width_m=4.0),
    ("railway", "subway"): Paint(36, (106, 96, 88), 8, width_m=4.0),
    ("railway", "narrow_gauge"): Paint(36, (108, 98, 88), 8, width_m=3.0),
    ("railway", "preserved"): Paint(36, (110, 100, 88), 10, width_m=4.0),
    ("railway", "disused"): Paint(36, (116, 110, 88), 14, width_m=4.0),
    ("railway", "platform"): Paint(38, (176, 172, 166), 3, width_m=4.0),
    ("barrier", "hedge"): Paint(42, (66, 88, 52), 22, width_m=2.0),
    ("barrier", "wall"): Paint(41, (164, 158, 150), 3, width_m=0.8),
    ("barrier", "retaining_wall"): Paint(41, (158, 152, 144), 3, width_m=0.8),
    ("barrier", "city_wall"): Paint(41, (150, 142, 130), 6, width_m=2.5),
    ("man_made", "pier"): Paint(29, (164, 154, 138), 4, width_m=3.0),
    ("man_made", "breakwater"): Paint(29, (150, 146, 138), 12, width_m=8.0),
    ("man_made", "groyne"): Paint(29, (140, 136, 128), 10, width_m=4.0),
    ("leisure", "track"): Paint(17, (168, 98, 80), 4, width_m=6.0),
    ("leisure", "slipway"): Paint(17, (164, 160, 152), 4, width_m=5.0),
    ("golf", "cartpath"): Paint(30, (172, 166, 154), 3, width_m=2.2),
}
POINTS: Pairs = DEMO_POINTS | {
    ("natural", "shrub"): Paint(59, (74, 94, 56), 20, width_m=2.5),
    ("man_made", "storage_tank"): Paint(50, (220, 220, 216), 2, width_m=10.0, height_m=7.0),
    ("man_made", "silo"): Paint(50, (206, 206, 202), 2, width_m=6.0, height_m=12.0),
    ("man_made", "water_tower"): Paint(50, (206, 206, 202), 2, width_m=10.0, height_m=25.0),
    ("man_made", "chimney"): Paint(55, (150, 120, 108), 2, width_m=4.0, height_m=40.0),
    ("man_made", "lighthouse"): Paint(55, (226, 222, 214), 2, width_m=8.0, height_m=25.0),
    ("generator:source", "wind"): Paint(72, (232, 232, 232), 1, width_m=5.0, height_m=60.0),
}
TREES: tuple[Paint, ...] = tuple(
    Paint(60, colour, 22, width_m=width_m, height_m=0.8 * width_m)
    for width_m, colour in ((5.0, (70, 92, 54)), (7.0, (60, 84, 48)), (8.0, (50, 74, 42)), (10.0, (56, 78, 44)))
)
HEIGHTS_M: dict[str, float] = {  # building value -> height in metres, if neither `height` nor levels are known
    **dict.fromkeys(("shed", "garage", "garages", "carport", "hut", "kiosk", "greenhouse", "bungalow"), 3.0),
    **dict.fromkeys(("house", "detached", "semidetached_house", "terrace", "farm", "barn", "roof"), 6.5),
    **dict.fromkeys(("apartments", "residential", "dormitory", "hotel", "office", "hospital", "university"), 14.0),
    **dict.fromkeys(("industrial", "warehouse", "retail", "supermarket", "commercial", "school", "hangar"), 8.0),
    **dict.fromkeys(("church", "cathedral", "stadium"), 18.0),
}
SMALL_BUILDINGS = {
    *("house", "detached", "semidetached_house", "terrace", "farm", "bungalow", "shed", "garage", "hut", "barn"),
}
TILED_ROOFS: tuple[Colour, ...] = ((146, 92, 74), (134, 84, 70), (158, 106, 86), (122, 88, 78))
