"""HTML page of a similarity search: maps of the query and its neighbours, without network requests.

The only script is that of the sliders between map and image, which the content security policy names by its hash.
Without scripts, the page shows map and image next to each other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from geojepa_cli.pages.neighbours.draw import draw_tile
from geojepa_cli.pages.neighbours.locator import draw_locator
from geojepa_cli.pages.pictures import data_uri
from geojepa_cli.pages.template import render
from geojepa_cli.search.results import SearchResult
from geojepa_cli.store.tile_map import TileMap

MAX_SHOWN_PX = 512  # maximum width and height of an aerial image
MAX_SHOWN_TAGS = 9


@dataclass(frozen=True)
class Card:
    """A search result with the data of its map and its image.

    Attributes:
        result: query or neighbour.
        map: OSM elements of the result's tile.
        image: image of the tile, or None. The first three bands are red, green and blue; a fourth band is not
            displayed. uint8 [3 or 4, side, side]
        drawn: True if the image was drawn from the map. The page marks such images.
    """

    result: SearchResult
    map: TileMap
    image: NDArray[np.uint8] | None = None
    drawn: bool = False


def render_page(
    cards: Sequence[Card],
    model: str,
    regions: Sequence[str],
    searched: int,
    tiles: Any = None,
    credits: Sequence[str] = (),
    further: Sequence[tuple[str, float, Card]] = (),
    space: str = "raw",
    title: str = "",
    has_query: bool = True,
    part_names: Sequence[str] = (),
) -> str:
    """Returns the HTML page of a similarity search as text. All text from OSM is escaped.

    Args:
        cards: the query, then its neighbours, most similar first.
        model: `name@id` of the model whose vectors were searched.
        regions: names of the searched regions.
        searched: number of searched vectors.
        tiles: west, south, east and north of all searched tiles, in degrees. None: the page has no overview map.
            float64 [n, 4]
        credits: attribution lines of maps and images.
        further: other examples of the query, each with a label such as `unlike` and its weight.
        space: form of the search space: `raw`, `centred`, `balanced` or `whitened`.
        title: description of the query. Default: name of the query's tile or entity.
        part_names: texts of the parts of the query, if it has several; in the order of `SearchResult.part_scores`.
        has_query: False if the query is no tile or entity but, for example, a text. Then `cards` has only neighbours.
    """
    query = cards[0] if has_query else None
    neighbours = cards[1:] if has_query else cards
    results = [card.result for card in cards]
    kind = neighbours[0].result.score_kind if neighbours else "cosine"
    examples = [
        {**_view(card, len(cards) + number), "label": label, "weight": weight}
        for number, (label, weight, card) in enumerate(further)
    ]
    has_images = any(card.image is not None for card in (*cards, *(card for _, _, card in further)))
    script = (files(__package__) / "slider.js").read_text(encoding="utf-8") if has_images else ""
    return render(
        "geojepa_cli.pages.neighbours",
        credits,
        script=Markup(script),  # noqa: S704 - a file of this package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        query=None if query is None else _view(query, 0),
        neighbours=[_view(card, number, part_names) for number, card in enumerate(neighbours, start=1)],
        further=examples,
        space=space,
        score_kind=kind,
        score_name={"cosine": "cosine", "text": "match"}.get(kind, "score"),
        title=title or (query.result.name if query else ""),
        what="entity" if any(result.entity for result in results) else "tile",
        model=model,
        regions=list(regions),
        searched=f"{searched:,}",
        has_images=has_images,
        locator=Markup(draw_locator(results, tiles)) if tiles is not None else "",  # noqa: S704 - numbers only
    )


def _view(card: Card, number: int, part_names: Sequence[str] = ()) -> dict[str, Any]:
    result = card.result
    ref = result.entity.name if result.entity else None
    drawing = draw_tile(card.map, ref, f"map of tile {result.tile}", uid=str(number))
    east, north = result.ground_m
    tags = [_tag(text, count, bool(ref)) for text, count in result.tags if not text.startswith("name=")]
    return {
        "result": result,
        "map": Markup(drawing),  # noqa: S704 - escaped piece by piece in draw_tile
        "image": data_uri(card.image, MAX_SHOWN_PX) if card.image is not None else None,
        "drawn": card.drawn and card.image is not None,
        "score": f"{result.score:.3f}",
        "bar": round(100 * max(0.0, min(1.0, result.score)), 1) if result.score_kind != "blend" else None,
        "top": f"top {result.top_percent:g} %" if result.top_percent else "",
        "parts": [f"{name} {score:.3f}" for name, score in zip(part_names, result.part_scores, strict=False)],
        "matches": _matches(result.reason),
        "compared": _compared(result),
        "where": _where(result.lon, result.lat),
        "ground": f"{east:.0f} × {north:.0f} m",
        "name": next((tag[5:] for tag, _ in result.tags if tag.startswith("name=")), "") if ref else "",
        "tags": tags[:MAX_SHOWN_TAGS],
        "more_tags": max(0, len(tags) - MAX_SHOWN_TAGS),
        "scale": _scale_bar(east),
    }


def _matches(reason: str) -> list[str]:
    """Returns the tags of a result that match words."""
    parts = (part.partition(": ") for part in reason.split("; "))
    return [tags for name, _, tags in parts if name == "matches"]


def _compared(result: SearchResult) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the tags that the result and the query have in common, and those that only one has."""
    found = result.comparison
    if found is None:
        return []
    of_entity = result.entity is not None
    both = [_tag(tag, here, of_entity) | {"query": 0 if of_entity else wanted} for tag, here, wanted in found.both]
    there, query = ([_tag(tag, count, of_entity) for tag, count in tags] for tags in (found.there, found.query))
    return [(name, tags) for name, tags in (("both", both), ("only here", there), ("only in the query", query)) if tags]


def _tag(text: str, count: int, of_entity: bool) -> dict[str, Any]:
    key, _, value = text.partition("=")
    return {"key": key, "value": value, "count": 0 if of_entity else count, "query": 0}


def _where(lon: float, lat: float) -> str:
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _scale_bar(east_m: float) -> dict[str, Any]:
    """Returns the length of a map's scale bar, as a dict with two keys.

    `text` is the length in metres or kilometres, such as `200 m`. `percent` is the length in percent of the map's
    width. The length is a round number that is at most a quarter of the map's width.

    Args:
        east_m: width of the map in metres.
    """
    length = 10.0 ** np.floor(np.log10(east_m / 4))
    length *= next(step for step in (5, 2, 1) if length * step <= east_m / 4)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return {"percent": round(100 * length / east_m, 2), "text": text}
