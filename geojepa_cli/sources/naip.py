"""NAIP, the aerial images of the United States, found through a STAC API and read from where it says they lie.

`fetch` stores what the API says of the newest image of each footprint, so that the source says by itself what its
images are; `tile` reads of them what its tiles need (docs/adr/0008).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.grid import Bounds
from geojepa_cli.sources.download import OfflineError, told
from geojepa_cli.sources.local import Imagery
from geojepa_cli.sources.ranges import FETCH_ANEW, RangeReader, RemoteRaster
from geojepa_cli.sources.scenes import Scene, meets, reading

COLLECTION = "naip"
ITEMS_FILE = "naip.json"
ATTRIBUTION = "NAIP aerial imagery: USDA FPAC, public domain; by way of the Microsoft Planetary Computer"
_PAGE = 250  # items of one answer
_PAGES_IN_VAIN = 5
_TIMEOUT_S = 60.0
_FOOTPRINT = re.compile(r"(?:^|_)m_(\d{7})_(nw|ne|sw|se)_")  # a quarter of a map sheet, whatever its state and year
_NUMBERS: tuple[tuple[str, type[float] | type[int]], ...] = (("gsd", float), ("proj:epsg", int))
_COLOURS = ("red", "green", "blue")

Item = dict[str, Any]


def search(bbox: Bounds, url: str, year: int | None = None) -> list[Item]:
    """The newest image of each footprint that meets a box, sorted by name: STAC items with what is needed of them.

    Args:
        bbox: west, south, east, north in degrees.
        url: of the API.
        year: of capture; the newest of all where none is given.

    Raises:
        OfflineError: the API cannot be reached, or answers with something else.
    """
    import pystac_client
    from pystac_client.exceptions import APIError
    from requests import RequestException

    when = f"{year}-01-01T00:00:00Z/{year}-12-31T23:59:59Z" if year is not None else None
    try:
        client = pystac_client.Client.open(url, timeout=_TIMEOUT_S)
        found = client.search(collections=[COLLECTION], bbox=list(bbox), datetime=when, limit=_PAGE)
        items = _all_items(found.pages_as_dicts())
    except (APIError, RequestException, OSError) as error:
        raise _unreached(url, told(error)) from error
    except (KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise _unreached(url, f"its answer is not a STAC API's: {error}") from error
    # an API may leave out what it was asked to look for; a wrong year would pass unseen
    items = [item for item in items if meets(item["bbox"], bbox) and (year is None or _date(item)[:4] == str(year))]
    return newest(items)


def newest(items: Sequence[Item]) -> list[Item]:
    """Of the items of each footprint the one with the latest date, sorted by name."""
    best: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: (_date(item), item["id"])):
        match = _FOOTPRINT.search(item["id"])
        best["_".join(match.groups()) if match else item["id"]] = item
    return sorted(best.values(), key=lambda item: str(item["id"]))


def imagery(items: Sequence[Item]) -> Imagery:
    """What goes into a source."""
    text = to_json(items)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Imagery({}, digest, [ATTRIBUTION], tuple(scenes_of(items)), {f"imagery/{ITEMS_FILE}": text})


def to_json(items: Sequence[Item]) -> str:
    """The text of `naip.json`: a GeoJSON of the items, always the same for the same items."""
    content = {"type": "FeatureCollection", "features": list(items)}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_items(path: Path) -> list[Item]:
    """The items of a `naip.json`.

    Raises:
        DataError: it is none.
    """
    try:
        items: list[Item] = [_trim(item) for item in json.loads(path.read_text(encoding="utf-8"))["features"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"`{path}` is not a list of images: {error}", hint=FETCH_ANEW) from error
    return items


def scenes_of(items: Sequence[Item], infrared: bool = False) -> list[Scene]:
    """The items as scenes, with the infrared band where that is wanted; what only their headers tell is looked at when
    they are opened."""
    return [_scene(item, infrared) for item in items]


def sign(href: str, refused: str | None = None) -> str:
    """A URL that planetary-computer gives out for a while; of other servers the href itself.

    Args:
        href: where the image lies.
        refused: a URL that the server refused; where it is the one at hand, its signature is asked for anew.

    Raises:
        OfflineError: no signature can be had.
    """
    from planetary_computer import sas
    from requests import RequestException

    try:
        url: str = sas.sign_url(href)
        if url == refused and url != href:
            sas.TOKEN_CACHE.clear()
            url = sas.sign_url(href)
    except (RequestException, OSError, ValueError) as error:
        raise OfflineError(f"`{href}` cannot be signed: {told(error)}", hint="geojepa tile") from error
    return url


class RemoteScene:
    """An image on a server, opened.

    Attributes:
        source: its dataset.
        masked: whether it says itself where it is valid. A fourth band that GDAL takes for transparency is infrared.
    """

    def __init__(self, scene: Scene, href: str, reader: RangeReader) -> None:
        """Opens it.

        Raises:
            OfflineError: the server cannot be reached, or refuses.
            DataError: it is no raster, or another one than the API says.
        """
        from rasterio.enums import MaskFlags

        self._path, self._raster = scene.path, RemoteRaster(reader, href)
        with self.reading():
            self.source = self._raster.dataset()
            flags = self.source.mask_flag_enums[0]
        self.masked = MaskFlags.all_valid not in flags and MaskFlags.alpha not in flags
        if self.source.crs is None or set(self.source.dtypes) != {scene.dtype} or self.source.count < max(scene.bands):
            self.close()
            raise DataError(f"`{href}` is not the image that the API describes", hint=FETCH_ANEW)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Failures as errors of ours; what the server said stands before what GDAL makes of it."""
        try:
            with reading(self._path):
                yield
        except GeojepaError as error:
            raise self._raster.failure or error from error
        if self._raster.failure is not None:
            raise self._raster.failure

    def close(self) -> None:
        """Closes the dataset."""
        self.source.close()


def open_scenes(items: Sequence[Item], reader: RangeReader) -> Callable[[Scene], RemoteScene]:
    """What opens the scenes of items, for a mosaic."""
    hrefs = {_path(item): str(item["assets"]["image"]["href"]) for item in items}
    return lambda scene: RemoteScene(scene, hrefs[scene.path], reader)


def _all_items(pages: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The items of all pages of an answer, each once; ValueError where the pages bring nothing new, again and again."""
    items: dict[str, Item] = {}
    in_vain = 0
    for page in pages:
        before = len(items)
        items |= {item["id"]: item for item in map(_trim, page["features"])}
        in_vain = 0 if len(items) > before else in_vain + 1
        if in_vain >= _PAGES_IN_VAIN:
            raise ValueError(f"{in_vain} pages in a row hold no other items than those before")
    return list(items.values())


def _scene(item: Item, infrared: bool) -> Scene:
    properties, asset = item["properties"], item["assets"]["image"]
    names = [band.get("common_name") for band in asset.get("eo:bands", [])]
    wanted = (*_COLOURS, "nir") if infrared else _COLOURS
    # NAIP's own order where the API does not say it
    bands = tuple(names.index(name) + 1 if name in names else i for i, name in enumerate(wanted, 1))
    west, south, east, north = (float(value) for value in item["bbox"])
    gsd = float(properties.get("gsd") or 0.0)
    crs = f"EPSG:{properties['proj:epsg']}" if properties.get("proj:epsg") else ""
    path = _path(item)
    return Scene(path, crs, (gsd, gsd), "uint8", bands, False, _date(item), (west, south, east, north), ())


def _trim(item: Mapping[str, Any]) -> Item:
    """What is kept of an item; KeyError, TypeError or ValueError where it lacks something or is no STAC item."""
    asset, properties = item["assets"]["image"], item["properties"]
    kept: dict[str, Any] = {"datetime": _moment(properties)}
    kept |= {name: properties[name] for name in ("naip:year", "naip:state") if name in properties}
    kept |= {name: kind(properties[name]) for name, kind in _NUMBERS if properties.get(name) is not None}
    if not str(asset["href"]).startswith(("https://", "http://")):
        raise ValueError(f"the image of `{item['id']}` is at `{asset['href']}`, which is no address of a server")
    image = {"href": str(asset["href"])} | ({"eo:bands": asset["eo:bands"]} if "eo:bands" in asset else {})
    return {
        "type": "Feature",
        "id": str(item["id"]),
        "bbox": _box(item["bbox"]),
        "geometry": item["geometry"],
        "properties": kept,
        "assets": {"image": image},
    }


def _moment(properties: Mapping[str, Any]) -> str:
    """Of capture; STAC lets `datetime` be null where a beginning and an end are given."""
    text = str(properties.get("datetime") or properties["start_datetime"])
    datetime.date.fromisoformat(text[:10])
    return text


def _box(values: Sequence[Any]) -> list[float]:
    """West, south, east, north of a box, with heights or without."""
    box = [float(value) for value in values]
    box = [*box[:2], *box[3:5]] if len(box) == 6 else box
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"{values} is no box")
    return box


def _date(item: Item) -> str:
    return str(item["properties"]["datetime"])[:10]


def _path(item: Item) -> Path:
    return Path(f"{item['id']}.tif")


def _unreached(url: str, why: str) -> OfflineError:
    return OfflineError(f"`{url}` cannot be searched: {why}", hint="--imagery none")
