"""HTML page of a search: one self-contained file with a map of each neighbour, without scripts or network requests."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from geojepa_cli.console import printable
from geojepa_cli.pages.neighbours.draw import draw_tile
from geojepa_cli.pages.neighbours.locator import draw_locator
from geojepa_cli.search.results import SearchResult
from geojepa_cli.store.tile_map import TileMap

ODBL = "https://www.openstreetmap.org/copyright"
MAX_SHOWN_PX = 512  # maximum width and height of an image
MAX_SHOWN_TAGS = 9


@dataclass(frozen=True)
class Card:
    """A search result with its map and aerial image.

    Attributes:
        result: query or neighbour.
        map: map objects of the result's tile.
        image: aerial image of the tile, uint8 [3 or 4 bands, side, side], or None. Only the first three bands (red,
            green, blue) are displayed.
    """

    result: SearchResult
    map: TileMap
    image: NDArray[np.uint8] | None = None


def render_page(
    cards: Sequence[Card],
    model: str,
    regions: Sequence[str],
    searched: int,
    tiles: Any = None,
    credits: Sequence[str] = (),
) -> str:
    """Returns the HTML page of a search.

    Text from OSM is escaped by the template, and in maps by `draw_tile`.

    Args:
        cards: query, followed by its neighbours in order.
        model: `name@id` of the model whose vectors were searched.
        regions: names of the searched regions.
        searched: number of searched vectors.
        tiles: bounds of all searched tiles for the overview map, float64 [n, 4]; None for no overview map.
        credits: attributions of maps and images.
    """
    query, *neighbours = cards
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        (files("geojepa_cli.pages.neighbours") / "page.html.j2").read_text(encoding="utf-8")
    )
    results = [card.result for card in cards]
    html = template.render(
        query=_view(query, 0),
        neighbours=[_view(card, number) for number, card in enumerate(neighbours, start=1)],
        title=query.result.name,
        what="entity" if query.result.entity else "tile",
        model=model,
        regions=list(regions),
        searched=f"{searched:,}",
        has_images=any(card.image is not None for card in cards),
        of_osm=any("OpenStreetMap" in line for line in credits),
        credits=[line.replace("`", "") for line in credits if "OpenStreetMap" not in line],
        locator=Markup(draw_locator(results, tiles)) if tiles is not None else "",  # noqa: S704 - numbers only
        copyright_url=ODBL,
    )
    return printable(html)  # names and tags in OSM are untrusted text


def _view(card: Card, number: int) -> dict[str, Any]:
    result = card.result
    ref = result.entity.name if result.entity else None
    drawing = draw_tile(card.map, ref, f"map of tile {result.tile}", uid=str(number))
    east, north = result.ground_m
    tags = [_tag(text, count, bool(ref)) for text, count in result.tags if not text.startswith("name=")]
    return {
        "result": result,
        "map": Markup(drawing),  # noqa: S704 - escaped piece by piece in draw_tile
        "image": _data_uri(card.image) if card.image is not None else None,
        "cosine": f"{result.cosine:.3f}",
        "bar": round(100 * max(0.0, min(1.0, result.cosine)), 1),
        "where": _where(result.lon, result.lat),
        "ground": f"{east:.0f} × {north:.0f} m",
        "name": next((tag[5:] for tag, _ in result.tags if tag.startswith("name=")), "") if ref else "",
        "tags": tags[:MAX_SHOWN_TAGS],
        "more_tags": max(0, len(tags) - MAX_SHOWN_TAGS),
        "scale": _scale_bar(east),
    }


def _tag(text: str, count: int, of_entity: bool) -> dict[str, Any]:
    key, _, value = text.partition("=")
    return {"key": key, "value": value, "count": 0 if of_entity else count}


def _where(lon: float, lat: float) -> str:
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _scale_bar(east_m: float) -> dict[str, Any]:
    """Returns text and width of the scale bar: a round length, at most a quarter of the map's width."""
    length = 10.0 ** np.floor(np.log10(east_m / 4))
    length *= next(step for step in (5, 2, 1) if length * step <= east_m / 4)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return {"percent": round(100 * length / east_m, 2), "text": text}


def _data_uri(image: NDArray[np.uint8]) -> str:
    """Returns an image, uint8 [3 or more, side, side], as a data URI.

    The image is scaled down to its size on the HTML page. It is a lossy WebP, because lossless images would make the
    file several times larger.
    """
    from PIL import Image

    buffer = io.BytesIO()
    shown = Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(image)[:3], 0, -1)))
    shown.thumbnail((MAX_SHOWN_PX, MAX_SHOWN_PX))
    shown.save(buffer, "WEBP", quality=88, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
