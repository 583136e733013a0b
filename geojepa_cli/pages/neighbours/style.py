"""Map style: paint order, colours and line widths of OSM elements, chosen by their tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LAND = "#f5f2ec"

# paint order: layers with larger numbers cover layers with smaller numbers
AREA, GREEN, WATER, WATERWAY, PAVED, TUNNEL, BUILDING, BARRIER, PATH, ROAD, RAIL, BRIDGE, WIRE, POINT = range(14)


@dataclass(frozen=True)
class Style:
    """Style of an OSM element on the map. Lengths are metres on the ground.

    Attributes:
        layer: layer that the element is painted in, such as `BUILDING`. Layers with larger numbers are painted on top.
        rank: paint order within the layer. Elements with a smaller rank are painted first.
        fill: colour of areas and of point symbols, or None.
        stroke: colour of lines and of outlines of areas, or None.
        width_m: width of lines and outlines.
        casing: colour of the border of a road, or None for no border. The border is a second, wider line that is drawn
            under the road.
        dash: lengths of dashes and gaps in metres. None: a solid line.
        radius_m: radius of the symbol of a point.
        symbol: symbol of a point: `dot`, `square` or `signal` (a traffic light).
        opacity: opacity of the element, 0 to 1.
    """

    layer: int
    rank: int = 0
    fill: str | None = None
    stroke: str | None = None
    width_m: float = 1.0
    casing: str | None = None
    dash: tuple[float, ...] | None = None
    radius_m: float = 2.4
    symbol: str = "dot"
    opacity: float = 1.0


# highway value -> (rank, width in metres, fill, casing)
ROADS: dict[str, tuple[int, float, str, str]] = {
    "motorway": (16, 13.0, "#f0a08c", "#cf6f5a"),
    "trunk": (15, 12.0, "#f7b58f", "#d98a5b"),
    "primary": (14, 11.0, "#fbd19a", "#d9a662"),
    "secondary": (13, 10.0, "#fbeba6", "#cfba66"),
    "tertiary": (12, 9.0, "#ffffff", "#b9b2a6"),
    "motorway_link": (11, 8.0, "#f0a08c", "#cf6f5a"),
    "trunk_link": (11, 8.0, "#f7b58f", "#d98a5b"),
    "primary_link": (11, 7.5, "#fbd19a", "#d9a662"),
    "secondary_link": (11, 7.5, "#fbeba6", "#cfba66"),
    "tertiary_link": (11, 7.0, "#ffffff", "#b9b2a6"),
    "unclassified": (10, 7.5, "#ffffff", "#c4bdb1"),
    "residential": (9, 7.5, "#ffffff", "#c4bdb1"),
    "living_street": (8, 6.5, "#f4f1f4", "#c4bdb1"),
    "road": (8, 6.5, "#e8e8e8", "#b9b2a6"),
    "busway": (8, 6.0, "#ffffff", "#c4bdb1"),
    "pedestrian": (7, 6.0, "#ece8f1", "#bfb6c9"),
    "service": (5, 4.2, "#ffffff", "#cec8bd"),
    "construction": (4, 5.0, "#e9e4da", "#c9c1b1"),
}
# highway value -> (width in metres, colour, dash)
PATHS: dict[str, tuple[float, str, tuple[float, ...]]] = {
    "footway": (1.7, "#e08a78", (3.5, 2.5)),
    "path": (1.7, "#b58b62", (4.0, 2.5)),
    "steps": (3.0, "#dd7a67", (1.0, 1.0)),
    "cycleway": (1.8, "#6c86d8", (4.5, 2.5)),
    "bridleway": (1.7, "#6aa05a", (4.0, 2.5)),
    "track": (2.2, "#b0905c", (7.0, 3.0)),
    "corridor": (1.4, "#c3a9a2", (2.0, 2.0)),
}
_AREA_COLOURS: dict[str, dict[str, tuple[int, str]]] = {
    "landuse": {
        "residential": (AREA, "#ece8e1"),
        "commercial": (AREA, "#f3e4df"),
        "retail": (AREA, "#f6ddd6"),
        "industrial": (AREA, "#e8e2ea"),
        "railway": (AREA, "#e6e1e8"),
        "military": (AREA, "#f1ddd6"),
        "construction": (AREA, "#e5dfcd"),
        "brownfield": (AREA, "#e0d9c6"),
        "quarry": (AREA, "#d8d4d0"),
        "landfill": (AREA, "#d9d3bd"),
        "garages": (AREA, "#e2ddd0"),
        "religious": (AREA, "#e2ddd8"),
        "education": (AREA, "#f3ecd2"),
        "farmland": (GREEN, "#f3ecd0"),
        "farmyard": (GREEN, "#efdfc0"),
        "orchard": (GREEN, "#cfe0ae"),
        "vineyard": (GREEN, "#d2e0a8"),
        "plant_nursery": (GREEN, "#cfe2b8"),
        "allotments": (GREEN, "#d3e3c3"),
        "cemetery": (GREEN, "#bed3b8"),
        "forest": (GREEN, "#b4d3a6"),
        "grass": (GREEN, "#d2e8bd"),
        "meadow": (GREEN, "#d8eabc"),
        "village_green": (GREEN, "#d2e8bd"),
        "greenfield": (GREEN, "#e3e9cf"),
        "recreation_ground": (GREEN, "#d4ecc4"),
        "flowerbed": (GREEN, "#cfe5ac"),
        "basin": (WATER, "#b5d8e8"),
        "reservoir": (WATER, "#a9d1e4"),
    },
    "natural": {
        "water": (WATER, "#a9d1e4"),
        "bay": (WATER, "#a9d1e4"),
        "strait": (WATER, "#a9d1e4"),
        "wetland": (GREEN, "#cfe3d6"),
        "wood": (GREEN, "#b4d3a6"),
        "scrub": (GREEN, "#cbdcb2"),
        "heath": (GREEN, "#d9dfaf"),
        "grassland": (GREEN, "#d8eabc"),
        "sand": (GREEN, "#f3e8c5"),
        "beach": (GREEN, "#f8edc5"),
        "shingle": (GREEN, "#ece4d3"),
        "bare_rock": (GREEN, "#e1dcd4"),
        "scree": (GREEN, "#e6e0d8"),
        "reef": (WATER, "#bfdcdf"),
    },
    "leisure": {
        "park": (GREEN, "#cbe7bf"),
        "garden": (GREEN, "#cde6bb"),
        "golf_course": (GREEN, "#cdebb9"),
        "nature_reserve": (GREEN, "#d3e8c8"),
        "dog_park": (GREEN, "#d9ecbe"),
        "common": (GREEN, "#d2e8bd"),
        "playground": (PAVED, "#dff0d8"),
        "pitch": (PAVED, "#a5d9b4"),
        "track": (PAVED, "#e3b79d"),
        "stadium": (PAVED, "#dceadd"),
        "sports_centre": (PAVED, "#dceadd"),
        "swimming_pool": (PAVED, "#9fd3ea"),
        "marina": (WATER, "#bfdcea"),
    },
    "amenity": {
        "parking": (PAVED, "#ece9e6"),
        "bicycle_parking": (PAVED, "#ece9e6"),
        "school": (AREA, "#f5efcf"),
        "university": (AREA, "#f5efcf"),
        "college": (AREA, "#f5efcf"),
        "kindergarten": (AREA, "#f5efcf"),
        "hospital": (AREA, "#fae4df"),
        "place_of_worship": (AREA, "#e2ddd8"),
        "grave_yard": (GREEN, "#bed3b8"),
        "fuel": (PAVED, "#f3e4d6"),
        "fountain": (PAVED, "#9fd3ea"),
    },
    "aeroway": {
        "aerodrome": (AREA, "#e7e5ec"),
        "apron": (PAVED, "#d8d5e0"),
        "runway": (PAVED, "#bdb8cb"),
        "taxiway": (PAVED, "#c9c5d5"),
        "helipad": (PAVED, "#c9c5d5"),
        "terminal": (BUILDING, "#c7a9cb"),
    },
    "waterway": {"riverbank": (WATER, "#a9d1e4"), "dock": (WATER, "#a9d1e4"), "dam": (PAVED, "#c9c6c1")},
    "man_made": {"bridge": (PAVED, "#ddd9d2"), "pier": (PAVED, "#e9e4da"), "breakwater": (PAVED, "#c9c6c1")},
    "power": {"substation": (PAVED, "#dcd6dd"), "plant": (AREA, "#dcd6dd"), "generator": (PAVED, "#d5cfd8")},
    "tourism": {"zoo": (GREEN, "#d6ebc9"), "camp_site": (GREEN, "#d9ecc2"), "attraction": (GREEN, "#e7e8d8")},
}
_WATERWAY_WIDTH_M = {"river": 12.0, "canal": 8.0, "stream": 3.0, "ditch": 1.6, "drain": 1.8}
_POINT_COLOURS = {
    "shop": "#a45cb0",
    "amenity": "#c9743a",
    "tourism": "#2a7fb8",
    "leisure": "#3f9a54",
    "office": "#5b6fa8",
    "craft": "#8a6a4a",
    "healthcare": "#cf4b55",
    "historic": "#8a6a4a",
    "emergency": "#cf4b55",
    "public_transport": "#2a7fb8",
    "railway": "#6a6a76",
    "aeroway": "#7a6fae",
    "entrance": "#8d8378",
    "barrier": "#8d8378",
    "man_made": "#7d766d",
    "place": "#7d766d",
}


def area_style(tags: Mapping[str, str]) -> Style:
    """Returns the style of an area (polygon) with the given OSM tags."""
    if tags.get("building", "no") != "no" or tags.get("building:part", "no") != "no":
        return Style(BUILDING, fill="#d9cbbd", stroke="#b3a08f", width_m=0.7)
    for key, colours in _AREA_COLOURS.items():
        found = colours.get(tags.get(key, ""))
        if found is not None:
            layer, fill = found
            return Style(layer, fill=fill, stroke=_darker(fill), width_m=0.6)
    if "highway" in tags or "area:highway" in tags:
        return Style(PAVED, rank=1, fill="#ece8f1", stroke="#cfc6d8", width_m=0.6)
    return Style(AREA, rank=-1, fill="#8d8378", stroke="#8d8378", width_m=0.8, opacity=0.10)


def line_style(tags: Mapping[str, str]) -> Style:
    """Returns the style of a line with the given OSM tags."""
    highway = tags.get("highway")
    if highway is not None:
        return _road_style(highway, tags)
    if tags.get("railway", "no") != "no":
        gone = tags["railway"] in {"abandoned", "razed", "disused", "dismantled", "proposed"}
        return Style(RAIL, stroke="#77717f", width_m=2.4, dash=(6.0, 4.0) if gone else None, casing="#ffffff", rank=1)
    if "waterway" in tags:
        width = _WATERWAY_WIDTH_M.get(tags["waterway"], 2.0)
        hidden = tags.get("tunnel", "no") != "no"
        return Style(WATERWAY, stroke="#a9d1e4", width_m=width, dash=(5.0, 4.0) if hidden else None)
    if "aeroway" in tags:
        width = {"runway": 30.0, "taxiway": 14.0}.get(tags["aeroway"], 6.0)
        return Style(PAVED, rank=2, stroke="#bdb8cb", width_m=width)
    if "power" in tags or tags.get("man_made") == "pipeline":
        return Style(WIRE, stroke="#8a8790", width_m=0.8, dash=(9.0, 3.0))
    if "barrier" in tags:
        green = tags["barrier"] == "hedge"
        return Style(BARRIER, stroke="#8fbf7c" if green else "#a79f95", width_m=1.6 if green else 0.8)
    if tags.get("natural") == "coastline":
        return Style(WATERWAY, rank=1, stroke="#6da9c6", width_m=2.0)
    if tags.get("natural") == "tree_row":
        return Style(BARRIER, stroke="#9ccb8b", width_m=5.0, opacity=0.8)
    return Style(BARRIER, stroke="#9d958a", width_m=0.9, dash=(3.0, 3.0))


def point_style(tags: Mapping[str, str]) -> Style:
    """Returns the style of a point with the given OSM tags."""
    if tags.get("highway") == "traffic_signals" or tags.get("crossing") == "traffic_signals":
        return Style(POINT, rank=9, symbol="signal", radius_m=4.6)
    if tags.get("natural") == "tree":
        return Style(POINT, rank=0, fill="#8fc27e", radius_m=3.0, opacity=0.8)
    if "highway" in tags:
        colour = {"stop": "#c8433c", "crossing": "#d98a72", "street_lamp": "#d9b94a"}.get(tags["highway"], "#8d8378")
        return Style(POINT, rank=2, fill=colour, radius_m=1.9)
    if "power" in tags:
        return Style(POINT, rank=1, fill="#77747d", radius_m=1.8, symbol="square")
    for key, colour in _POINT_COLOURS.items():
        if key in tags:
            major = key in {"shop", "amenity", "tourism", "healthcare", "leisure", "office"}
            return Style(POINT, rank=5 if major else 3, fill=colour, radius_m=3.2 if major else 2.2)
    return Style(POINT, rank=1, fill="#9d958a", radius_m=1.8)


def _road_style(highway: str, tags: Mapping[str, str]) -> Style:
    bridge = tags.get("bridge", "no") != "no"
    tunnel = tags.get("tunnel", "no") not in {"no", "building_passage"}
    if highway in ROADS:
        rank, width, fill, casing = ROADS[highway]
        if bridge:
            return Style(BRIDGE, rank, stroke=fill, width_m=width, casing="#5f5a55")
        if tunnel:
            return Style(TUNNEL, rank, stroke=fill, width_m=width, casing=casing, opacity=0.45)
        return Style(ROAD, rank, stroke=fill, width_m=width, casing=casing)
    width, colour, dash = PATHS.get(highway, (1.5, "#a79f95", (3.0, 2.0)))
    if bridge:
        return Style(BRIDGE, stroke=colour, width_m=width + 0.6, casing="#6f6a65", dash=dash)
    return Style(TUNNEL if tunnel else PATH, stroke=colour, width_m=width, dash=dash, opacity=0.45 if tunnel else 1.0)


def _darker(colour: str, by: float = 0.88) -> str:
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{int(channel * by):02x}" for channel in channels)
