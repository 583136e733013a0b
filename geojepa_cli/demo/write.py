"""Writes the demo city as an `.osm.pbf` file. The same city always produces the same bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import osmium
from osmium.osm import Box, Location
from osmium.osm.mutable import Node, Relation, Way

from geojepa_cli.demo.city import City
from geojepa_cli.demo.plan import ZOOM, Plan

TIMESTAMP = "2024-01-01T00:00:00Z"
GENERATOR = "geojepa demo"


def write_pbf(city: City, path: Path) -> None:
    """Writes all OSM elements of a city to a file, sorted by type and id.

    Args:
        city: city to write.
        path: file to write. The file must not exist yet, and its name must end in `.osm.pbf`.
    """
    plan, sheet = city.plan, city.sheet
    header = osmium.io.Header()
    header.set("generator", GENERATOR)
    header.set("osmosis_replication_timestamp", TIMESTAMP)
    west, north = lonlat(plan, 0, 0)
    east, south = lonlat(plan, plan.columns, plan.rows)
    header.add_box(Box(Location(west, south), Location(east, north)))
    writer = osmium.SimpleWriter(osmium.io.File(str(path), "pbf"), header=header)
    known: dict[str, Any] = {"version": 1, "timestamp": TIMESTAMP, "visible": True}
    try:
        for node in sheet.nodes:
            writer.add_node(Node(id=node.id, location=lonlat(plan, node.x, node.y), tags=node.tags, **known))
        for way in sheet.ways:
            writer.add_way(Way(id=way.id, nodes=way.nodes, tags=way.tags, **known))
        for relation in sheet.relations:
            writer.add_relation(Relation(id=relation.id, members=relation.members, tags=relation.tags, **known))
    finally:
        writer.close()


def lonlat(plan: Plan, x: float, y: float) -> tuple[float, float]:
    """Returns the WGS84 longitude and latitude of a position on the plan, in degrees rounded to 1e-7.

    One unit of the plan is one Web Mercator tile of zoom 16, so the inverse of the Web Mercator projection is used.
    """
    tiles = 2**ZOOM
    lon = (plan.west_tile + x) / tiles * 360.0 - 180.0
    lat = math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * (plan.north_tile + y) / tiles))))
    return round(lon, 7), round(lat, 7)
