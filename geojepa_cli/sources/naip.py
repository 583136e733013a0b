"""Searches a STAC API for aerial images of a collection such as NAIP, and opens the images on their servers.

A footprint is the area that an image shows. For each footprint, `fetch` stores the STAC item of the newest image.
Later, the command `tile` reads only those parts of the images that the map tiles need (docs/adr/0008).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.grid import Bounds
from geojepa_cli.sources.collections import NAIP, Collection
from geojepa_cli.sources.georeference import meets
from geojepa_cli.sources.http import OfflineError, describe_error
from geojepa_cli.sources.imagery import Imagery
from geojepa_cli.sources.ranges import FETCH_NAIP, RangeReader
from geojepa_cli.sources.remote_raster import RemoteRaster
from geojepa_cli.sources.scene_bands import find_mask_rule
from geojepa_cli.sources.scenes import Scene, raster_errors
from geojepa_cli.sources.stac import IMAGE, Item, capture_date, file_name, scene_of, trim_item

_PAGE = 250  # maximum number of items in one response
_MAX_REPEATED_PAGES = 5
_TIMEOUT_S = 60.0


def search(bbox: Bounds, url: str | None = None, year: int | None = None, collection: Collection = NAIP) -> list[Item]:
    """Searches for images that intersect a bounding box. Of several images of the same area, the newest is returned.

    Args:
        bbox: bounding box (west, south, east, north) in degrees.
        url: URL of the STAC API. Default: the API of the collection.
        year: year of capture. Default: any year.
        collection: collection to search.

    Returns:
        STAC items with only those fields that `fetch` stores, sorted by id.

    Raises:
        OfflineError: the API cannot be reached, or the response does not come from a STAC API.
    """
    import pystac_client
    from pystac_client.exceptions import APIError
    from requests import RequestException

    url = url or collection.stac_api
    when = f"{year}-01-01T00:00:00Z/{year}-12-31T23:59:59Z" if year is not None else None
    try:
        client = pystac_client.Client.open(url, timeout=_TIMEOUT_S)
        found = client.search(collections=[collection.collection], bbox=list(bbox), datetime=when, limit=_PAGE)
        items = _collect_items(found.pages_as_dicts())
    except (APIError, RequestException, OSError) as error:
        raise _search_error(url, describe_error(error)) from error
    except (KeyError, ValueError, TypeError, AttributeError, NotImplementedError, RecursionError) as error:
        raise _search_error(url, f"not the response of a STAC API: {error}") from error
    # An API may ignore parts of a query, so bounding box and year are checked again.
    items = [item for item in items if meets(item["bbox"], bbox)]
    return newest([item for item in items if year is None or capture_date(item)[:4] == str(year)], collection)


def newest(items: Sequence[Item], collection: Collection = NAIP) -> list[Item]:
    """Returns the newest STAC item of each footprint (the area an image shows), sorted by id."""
    best: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: (capture_date(item), item["id"])):
        match = re.search(collection.footprint, item["id"]) if collection.footprint else None
        best["_".join(match.groups()) if match else item["id"]] = item
    return sorted(best.values(), key=lambda item: str(item["id"]))


def items_as_imagery(items: Sequence[Item], collection: Collection = NAIP) -> Imagery:
    """Returns an `Imagery` that consists of STAC items (descriptions of online images).

    `fetch` stores only the items. The images stay on their servers.
    """
    text = to_json(items)
    digest = hashlib.sha256(text.encode()).hexdigest()
    files = {f"imagery/{collection.items_file}": text}
    return Imagery({}, digest, [collection.attribution], tuple(scenes_of(items)), files)


def to_json(items: Sequence[Item]) -> str:
    """Formats STAC items as GeoJSON. The same items always give the same text."""
    content = {"type": "FeatureCollection", "features": list(items)}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_items(path: Path) -> list[Item]:
    """Reads a GeoJSON file of STAC items.

    Raises:
        DataError: the file cannot be read or does not hold STAC items.
    """
    try:
        return [trim_item(item) for item in json.loads(path.read_text(encoding="utf-8"))["features"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"`{path}` is not a valid file of STAC items: {error}", FETCH_NAIP) from error


def scenes_of(items: Sequence[Item], infrared: bool = False) -> list[Scene]:
    """Returns a scene for each STAC item. With `infrared`, scenes have a near-infrared band in addition to RGB."""
    return [scene_of(item, infrared) for item in items]


def sign(href: str, refused: str | None = None) -> str:
    """Returns the signed URL of an image on the Planetary Computer. URLs of other servers are returned unchanged.

    Signatures are cached and reused.

    Args:
        href: URL of the image, without a signature.
        refused: signed URL that the server refused, or None. If the cache still holds the signature of this URL, a new
            signature is requested.

    Raises:
        OfflineError: the signature cannot be obtained.
    """
    from planetary_computer import sas
    from requests import RequestException

    try:
        url: str = sas.sign_url(href)
        if url == refused and url != href:
            sas.TOKEN_CACHE.clear()
            url = sas.sign_url(href)
    except (RequestException, OSError, ValueError) as error:
        message = f"the signature needed to read `{href}` cannot be obtained: {describe_error(error)}"
        raise OfflineError(message, hints.again()) from error
    return url


class RemoteScene:
    """An image on a server that is opened for reading. Implements `mosaic.OpenScene`.

    Attributes:
        source: rasterio dataset of the image.
        mask: rule that decides which pixels are valid. A band that GDAL regards as alpha is ignored, because it holds
            infrared.
    """

    def __init__(self, scene: Scene, href: str, reader: RangeReader) -> None:
        """Opens the image of a scene on a server.

        Raises:
            OfflineError: the server cannot be reached, or refuses access.
            DataError: the file is not a GeoTIFF, has no CRS, or does not match the bands or data type of its STAC item.
        """
        self._path, self._raster = scene.path, RemoteRaster(reader, href)
        with self.reading():
            self.source = self._raster.open()
            self.mask = find_mask_rule(self.source, scene.bands[:3], trust_alpha=False)
        if self.source.crs is None or set(self.source.dtypes) != {scene.dtype} or self.source.count < max(scene.bands):
            self.close()
            message = f"`{href}` does not match its STAC item in CRS, data type or number of bands"
            raise DataError(message, FETCH_NAIP)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Converts errors of GDAL that are raised in a `with` block to errors of this package.

        If a request to the server failed, raises the `OfflineError` or `DataError` of that request instead of GDAL's
        error.
        """
        try:
            with raster_errors(self._path):
                yield
        except GeojepaError as error:
            raise self._raster.failure or error from error
        if self._raster.failure is not None:
            raise self._raster.failure

    def close(self) -> None:
        """Closes the image's dataset."""
        self.source.close()


def scene_opener(items: Sequence[Item], reader: RangeReader) -> Callable[[Scene], RemoteScene]:
    """Returns a function that opens the image of a scene on its server. Pass it to `Mosaic` as `open_scene`."""
    hrefs = {file_name(item): str(item["assets"][IMAGE]["href"]) for item in items}
    return lambda scene: RemoteScene(scene, hrefs[scene.path], reader)


def _collect_items(pages: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Returns the STAC items of all result pages of a search, without duplicates.

    Raises:
        ValueError: several result pages in a row contain no new item.
    """
    items: dict[str, Item] = {}
    repeated = 0
    for page in pages:
        before = len(items)
        items |= {item["id"]: item for item in map(trim_item, page["features"])}
        repeated = 0 if len(items) > before else repeated + 1
        if repeated >= _MAX_REPEATED_PAGES:
            raise ValueError(f"{repeated} result pages in a row hold no new items")
    return list(items.values())


def _search_error(url: str, why: str) -> OfflineError:
    return OfflineError(f"the STAC API `{url}` cannot be searched: {why}", hints.again(imagery="none"))
