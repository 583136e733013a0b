"""Colours of OSM elements in drawn images, and the order in which elements are painted."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]
Ink = tuple[int, ...]  # value of each band of a canvas: red, green, blue, roughness; sometimes near infrared


@dataclass(frozen=True)
class Paint:
    """Appearance of an OSM element in a drawn image.

    Attributes:
        layer: position in the paint order. Elements with a larger number are painted over those with a smaller one.
        colour: RGB colour.
        roughness: strength of the random brightness variation on the element, in grey levels (of 256).
        width_m: width of a line, or diameter of a point, in metres.
        height_m: height of the element in metres, from which the length of its shadow follows. 0 for no shadow.
    """

    layer: int
    colour: Colour
    roughness: int = 4
    width_m: float = 0.0
    height_m: float = 0.0

    @property
    def ink(self) -> Ink:
        """Colour and roughness: the values of the first four bands of a canvas."""
        return (*self.colour, self.roughness)


SHADOW = Paint(49, (58, 60, 62), 2)
ROADS: dict[str, tuple[float, Colour]] = {  # highway value -> (width in metres, colour)
    "motorway": (13.0, (172, 170, 164)),
    "primary": (15.0, (118, 118, 120)),
    "secondary": (12.0, (120, 120, 122)),
    "tertiary": (10.0, (124, 124, 125)),
    "residential": (8.0, (130, 130, 130)),
    "unclassified": (9.0, (130, 129, 127)),
    "service": (4.5, (146, 145, 142)),
    "cycleway": (3.5, (134, 130, 124)),
    "footway": (2.5, (176, 168, 150)),
    "path": (2.2, (164, 150, 122)),
    "track": (3.5, (172, 154, 118)),
}
ROOFS: tuple[Colour, ...] = (
    (96, 92, 90), (124, 112, 104), (142, 122, 108), (110, 104, 102), (150, 144, 138), (132, 96, 82),
)  # fmt: skip
FLAT_ROOFS: tuple[Colour, ...] = ((206, 206, 202), (188, 186, 180), (172, 172, 172), (220, 218, 212), (156, 152, 148))
HOUSES = {"house", "detached", "farm", "yes"}
CROPS: dict[str, Colour] = {
    "corn": (112, 134, 70),
    "soy": (96, 124, 66),
    "wheat": (186, 168, 112),
    "hay": (158, 156, 98),
}
FIELDS: tuple[Colour, ...] = ((150, 128, 96), (134, 140, 84), (172, 152, 112))
AREAS: dict[tuple[str, str], Paint] = {
    ("landuse", "residential"): Paint(10, (114, 126, 88), 18),
    ("landuse", "retail"): Paint(10, (140, 138, 128), 8),
    ("landuse", "commercial"): Paint(10, (140, 138, 128), 8),
    ("landuse", "industrial"): Paint(10, (148, 140, 126), 9),
    ("landuse", "meadow"): Paint(11, (134, 144, 88), 8),
    ("landuse", "grass"): Paint(11, (122, 138, 84), 6),
    ("natural", "wood"): Paint(12, (58, 80, 48), 34),
    ("natural", "scrub"): Paint(12, (98, 108, 68), 26),
    ("leisure", "park"): Paint(9, (104, 128, 76), 12),
    ("leisure", "pitch"): Paint(14, (88, 140, 76), 3),
    ("leisure", "playground"): Paint(14, (188, 164, 118), 6),
    ("leisure", "swimming_pool"): Paint(14, (86, 178, 196), 2),
    ("natural", "water"): Paint(15, (56, 78, 88), 3),
    ("place", "square"): Paint(16, (190, 184, 172), 4),
    ("amenity", "parking"): Paint(16, (108, 108, 110), 14),
    ("aeroway", "apron"): Paint(16, (178, 176, 170), 4),
    ("railway", "platform"): Paint(40, (176, 172, 166), 3),
    ("man_made", "storage_tank"): Paint(50, (226, 226, 222), 2, height_m=5.0),
}
LINES: dict[tuple[str, str], Paint] = {
    ("waterway", "stream"): Paint(14, (66, 86, 82), 6, width_m=4.0),
    ("natural", "tree_row"): Paint(42, (54, 76, 44), 26, width_m=7.0),
    ("aeroway", "runway"): Paint(20, (92, 92, 96), 4, width_m=32.0),
    ("aeroway", "taxiway"): Paint(19, (128, 128, 130), 4, width_m=16.0),
    ("railway", "rail"): Paint(36, (104, 92, 84), 8, width_m=4.5),
    ("barrier", "fence"): Paint(41, (170, 168, 160), 2, width_m=0.8),
    ("power", "line"): Paint(70, (196, 196, 196), 2, width_m=0.8),
}
POINTS: dict[tuple[str, str], Paint] = {
    ("natural", "tree"): Paint(60, (50, 74, 42), 24, width_m=9.0),
    ("power", "tower"): Paint(71, (210, 210, 210), 2, width_m=4.0),
    ("amenity", "fountain"): Paint(55, (110, 160, 176), 2, width_m=7.0),
    ("aeroway", "windsock"): Paint(55, (220, 120, 60), 2, width_m=4.0),
    ("advertising", "billboard"): Paint(55, (230, 226, 214), 2, width_m=4.0),
}


def road_paint(width_m: float, colour: Colour, bridge: bool) -> Paint:
    """Returns the appearance of a road.

    Wide roads are painted over narrow ones. Bridges are painted over all other roads, in a brighter colour.
    """
    layer = 30 + min(5, int(width_m / 3))
    if bridge:
        layer, colour = layer + 10, (min(colour[0] + 24, 255), min(colour[1] + 24, 255), min(colour[2] + 22, 255))
    return Paint(layer, colour, 4, width_m=width_m)
