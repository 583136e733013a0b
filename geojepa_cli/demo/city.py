"""Generates the demo city: its OSM elements and the known labels of its tiles."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from geojepa_cli.demo import landmarks
from geojepa_cli.demo.answers import KnownAnswers
from geojepa_cli.demo.blocks import fill_blocks
from geojepa_cli.demo.plan import Plan, districts, make_plan
from geojepa_cli.demo.sheet import Sheet
from geojepa_cli.demo.streets import draw_network, plan_network

QUERY_TILE = "16_18052_25957"  # in the middle of downtown, in both sizes of the city


@dataclass(frozen=True)
class City:
    """A generated city.

    Attributes:
        plan: positions of its large features.
        sheet: nodes, ways and relations, with positions in tiles.
        answers: {tile name: {task: label}} for each of its tiles; see `Ledger.answers`.
    """

    plan: Plan
    sheet: Sheet
    answers: KnownAnswers


def make_city(size: str = "full", seed: int = 0) -> City:
    """Generates the city. The same size and seed always produce the same city.

    Args:
        size: `full` (480 tiles in 30 zoom-14 groups) or `small` (64 tiles in 4 groups).
        seed: seed of all random choices; it does not move the river, the motorway, the park or the airfield.
    """
    plan = make_plan(size, seed)
    sheet = Sheet()
    land = districts(plan)
    streams = landmarks.plan_streams(plan, land)
    network = plan_network(plan, land, streams)
    landmarks.draw_river(plan, sheet)
    landmarks.draw_streams(plan, sheet, network)
    landmarks.draw_park(plan, sheet)
    landmarks.draw_airfield(plan, sheet)
    fill_blocks(plan, sheet, land, network)
    level_crossings = draw_network(plan, sheet, land, network)
    landmarks.draw_river_paths(plan, sheet, land, network)
    landmarks.draw_motorway(plan, sheet)
    landmarks.draw_railway(plan, sheet, level_crossings)
    _draw_what_is_no_token(plan, sheet)
    return City(plan, sheet, sheet.ledger.answers(plan))


def _draw_what_is_no_token(plan: Plan, sheet: Sheet) -> None:
    """Adds elements that are not visible to models: a boundary, a turn restriction, and a node with only a `source`."""
    edge = (0.01, 0.01, plan.columns - 0.01, plan.rows - 0.01)
    x0, y0, x1, y1 = edge
    outline = sheet.ring([(x0, y1), (x1, y1), (x1, y0), (x0, y0)], {})
    tags = {"type": "boundary", "boundary": "administrative", "admin_level": "8", "name": "Pineville"}
    sheet.relation([("w", outline, "outer")], tags)
    streets = [way for way in sheet.ways if way.tags.get("highway") == "residential"]
    for first, second in itertools.pairwise(streets):
        shared = set(first.nodes) & set(second.nodes)
        if shared:
            members = [("w", first.id, "from"), ("n", min(shared), "via"), ("w", second.id, "to")]
            sheet.relation(members, {"type": "restriction", "restriction": "no_left_turn"})
            break
    sheet.node(plan.centre[0], plan.centre[1] + 0.005, {"source": "survey"})
