"""HTML page of a heatmap: colours over the images of tiles, with a legend and the most similar points.

The only script is that of the slider, which the content security policy names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from geojepa_cli.pages.pictures import data_uri
from geojepa_cli.pages.template import render
from geojepa_cli.search.results import point_url

MOSAIC_PX = 1600  # maximum width and height of the images of tiles on the page
_MARK_PX = 1100.0  # width of the map, in the unit in which marks have their size


@dataclass(frozen=True)
class Mark:
    """A point on the map.

    Attributes:
        x, y: place in pixels of the full raster.
        text: text in the mark, such as `Q` or `1`.
        lon, lat: place in degrees.
    """

    x: float
    y: float
    text: str
    lon: float
    lat: float


@dataclass(frozen=True)
class HeatPicture:
    """A heatmap as a picture.

    Attributes:
        colours: colours of the similarities, transparent without data. uint8 [h, w, 4]
        size: width and height of the full raster in pixels.
        images: images of the tiles as one picture, uint8 [3, h, w]; None if there are none.
        drawn: True if the images were drawn from the map.
        low, high: similarity of the first and last colour of the legend.
        legend: colours of the legend.
    """

    colours: NDArray[np.uint8]
    size: tuple[int, int]
    images: NDArray[np.uint8] | None
    drawn: bool
    low: float
    high: float
    legend: Sequence[str]


def render_page(
    picture: HeatPicture,
    title: str,
    what: str,
    peaks: Sequence[Mapping[str, Any]],
    marks: Sequence[Mark],
    tags: Sequence[str],
    credits: Sequence[str],
) -> str:
    """Returns the HTML page of a heatmap as text. All text from OSM is escaped.

    Args:
        picture: the heatmap.
        title: query, such as `way/123`.
        what: sentences that say what was compared.
        peaks: the most similar points, as in `heatmap.json`.
        marks: points on the map. That of the query has the text `Q`. Those outside the map are left out.
        tags: tags `key=value` of the query.
        credits: attribution lines.
    """
    width, height = picture.size
    inside = [one for one in marks if 0 <= one.x <= width and 0 <= one.y <= height]
    script = (files("geojepa_cli.pages.heatmap") / "opacity.js").read_text(encoding="utf-8")
    has_images = picture.images is not None
    return render(
        "geojepa_cli.pages.heatmap",
        credits,
        title=title,
        what=what,
        tags=tags,
        width=width,
        height=height,
        base=None if picture.images is None else data_uri(picture.images, MOSAIC_PX, 80),
        drawn=picture.drawn,
        heat=_png(picture.colours),
        unit=f"{max(width, height) / _MARK_PX:.4f}",
        marks=[_view(one) for one in sorted(inside, key=lambda one: (one.text == "Q", one.text))],
        legend=picture.legend,
        low=f"{picture.low:.3f}",
        high=f"{picture.high:.3f}",
        peaks=[
            {**one, "score": f"{one['score']:.3f}", "where": f"{one['lat']:.5f}, {one['lon']:.5f}"} for one in peaks
        ],
        query_outside=any(one.text == "Q" for one in marks if one not in inside),
        query_inside=any(one.text == "Q" for one in inside),
        script=Markup(script) if has_images else "",  # noqa: S704 - a file of the package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _view(mark: Mark) -> dict[str, Any]:
    query = mark.text == "Q"
    label = f"{'query' if query else f'point {mark.text}'}: {mark.lat:.5f}, {mark.lon:.5f}"
    place = {"x": f"{mark.x:.1f}", "y": f"{mark.y:.1f}", "text": mark.text}
    return {**place, "query": query, "label": label, "url": point_url(mark.lon, mark.lat)}


def _png(colours: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(colours, "RGBA").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
