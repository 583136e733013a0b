"""Generates the demo city: its OSM elements and the correct task labels of its tiles."""

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
    """A generated demo city.

    Attributes:
        plan: positions of the city's large features, such as the river.
        sheet: OSM nodes, ways and relations of the city.
        answers: correct labels of every tile, as {tile name: {task: label}}; see `Ledger.answers`.
    """

    plan: Plan
    sheet: Sheet
    answers: KnownAnswers


def make_city(size: str = "full", seed: int = 0) -> City:
    """Generates the demo city. The same size and seed always produce the same city.

    Args:
        size: `full` (480 tiles of zoom 16, which fill 30 tiles of zoom 14) or `small` (64 tiles, which fill 4).
        seed: seed of all random choices. The river, the motorway, the park and the airfield do not depend on the seed.
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
    """Adds OSM elements that are not part of any model input.

    These are a boundary, a turn restriction, and a node whose only tag is `source`.
    """
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
