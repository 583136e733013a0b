"""Pictures of tiles: their stored images as WebP, and drawings of their maps as SVG."""

from __future__ import annotations

import functools

import numpy as np

from geojepa_cli.errors import NotFoundError
from geojepa_cli.grid import parse_tile
from geojepa_cli.pages.neighbours.draw import draw_tile
from geojepa_cli.pages.pictures import webp
from geojepa_cli.search.places import Places
from geojepa_cli.store.tile_map import read_map

MAX_PX = 512
_KEPT = 512  # pictures
# the style of street names in `neighbours/page.html.j2`, which an image of its own does not see
_STYLE = (
    "<style>.name{font-family:'DejaVu Sans',system-ui,sans-serif;text-anchor:middle;fill:#555049;stroke:#fff;"
    "stroke-width:2.4px;stroke-linejoin:round;paint-order:stroke}</style>"
)


class Pictures:
    """Pictures of the tiles of several regions. The last ones are kept in memory.

    Args:
        places: tiles of all regions.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.image = functools.lru_cache(_KEPT)(self._image)
        self.map = functools.lru_cache(_KEPT)(self._map)

    def _image(self, tile: int) -> bytes:
        """Returns the stored image of a tile as WebP.

        Raises:
            NotFoundError: the tile has no image.
        """
        hit = self._places.tile_hit(tile)
        images = self._places.regions[hit.region].images
        name = self._places.tile_name(tile)
        z, x, y = parse_tile(name)
        row = int(images.rows_of([z], [x], [y])[0]) if images is not None else -1
        if images is None or row < 0:
            raise NotFoundError(f"tile `{name}` has no image")
        return webp(np.asarray(images.image[row]), MAX_PX)

    def _map(self, tile: int, highlight: str | None) -> bytes:
        """Returns the map of a tile as SVG, with one OSM element such as `way/123` highlighted."""
        hit = self._places.tile_hit(tile)
        region = self._places.regions[hit.region]
        drawn = draw_tile(read_map(region.store, int(region.vectors["tile/row"][hit.row])), highlight)
        start, end, rest = drawn.partition(">")
        return f"{start}{end}{_STYLE}{rest}".encode()
