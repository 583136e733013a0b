"""HTML page of a review, with a map of each finding, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from geojepa_cli.pages.neighbours.draw import draw_tile
from geojepa_cli.pages.template import render
from geojepa_cli.store.tile_map import MapObject, TileMap

WINDOW_M = 220.0  # smallest side of a map
MOST_TAGS = 12
SOURCES = {"all": "together", "model": "the model's vector alone", "simple": "other tags, shape and neighbours alone"}

Window = tuple[float, float, float]


@dataclass(frozen=True)
class Card:
    """A finding and the map of its tile.

    Attributes:
        finding: finding as in `review.json`.
        map: OSM elements of the finding's tile.
    """

    finding: Mapping[str, Any]
    map: TileMap


def render_page(cards: Sequence[Card], region: str, content: Mapping[str, Any], credits: Sequence[str]) -> str:
    """Returns the HTML page of a review as text. All text from OSM is escaped.

    Args:
        cards: findings, the most surprising first.
        region: name of the region.
        content: content of `review.json`.
        credits: attribution lines.
    """
    return render(
        "geojepa_cli.pages.review",
        credits,
        cards=[_view(card) for card in cards],
        region=region,
        model=content["model"],
        note=content["note"],
        reviewed=f"{content['reviewed']:,}",
        families=[
            {**one, "entities": f"{one['entities']:,}", "accuracy": _percent(one["accuracy"]["all"])}
            for one in content["families"]
        ],
        skipped=content["not_reviewed"],
    )


def find_window(tile: TileMap, item: MapObject | None) -> Window:
    """Returns the part of a tile to show for an element: a square around it, inside the tile where possible.

    Returns:
        West edge, north edge and side, in metres from the tile's north-west corner.
    """
    whole = (0.0, 0.0, max(tile.east_m, tile.north_m))
    if item is None or not item.parts:
        return whole
    vertices = np.concatenate([xy for _, xy in item.parts]) * tile.east_m
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    side = min(max(WINDOW_M, 1.6 * float((high - low).max())), whole[2])
    middle = (low + high) / 2
    left = min(max(float(middle[0]) - side / 2, 0.0), max(0.0, tile.east_m - side))
    top = min(max(tile.north_m - float(middle[1]) - side / 2, 0.0), max(0.0, tile.north_m - side))
    return left, top, side


def _view(card: Card) -> dict[str, Any]:
    found, tile = card.finding, card.map
    item = next((one for one in tile.objects if one.ref == found["entity"]), None)
    window = find_window(tile, item)
    shown = replace(tile, objects=tuple(one for one in tile.objects if _inside(one, tile, window)))
    label = f"map around {found['entity']} in tile {found['tile']}"
    drawing = draw_tile(shown, str(found["entity"]), label, str(found["rank"]), window)
    tags = [text for text in found["tags"].items() if f"{text[0]}={text[1]}" != found["present"]]
    return {
        "found": found,
        "map": Markup(drawing),  # noqa: S704 - escaped piece by piece in draw_tile
        "score": f"{found['score']:.1f}",
        "lines": [
            {"name": SOURCES[name], "present": _percent(p["present"]), "suggested": _percent(p["suggested"])}
            for name, p in found["probabilities"].items()
        ],
        "tags": tags[:MOST_TAGS],
        "more_tags": max(0, len(tags) - MOST_TAGS),
        "reason": found["reason"].replace("`", ""),
    }


def _inside(item: MapObject, tile: TileMap, window: Window) -> bool:
    """Returns True for an object whose bounding box overlaps the window, or that covers the tile."""
    if item.covers_tile or not item.parts:
        return item.covers_tile
    left, top, side = window
    vertices = np.concatenate([xy for _, xy in item.parts]) * tile.east_m
    (west, south), (east, north) = vertices.min(axis=0), vertices.max(axis=0)
    upper, lower = tile.north_m - north, tile.north_m - south
    return bool(west <= left + side and east >= left and upper <= top + side and lower >= top)


def _percent(share: float) -> str:
    return "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
