"""Reads the index of Geofabrik's regions and finds a region by id, path, name or prefix."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError, nearest, unknown
from geojepa_cli.grid import Bounds
from geojepa_cli.sources.http import LOCAL_FILE, RetryPolicy
from geojepa_cli.sources.index_copy import fetch_text
from geojepa_cli.sources.urls import GEOFABRIK_INDEX

HOME_URL = "https://download.geofabrik.de/"
INDEX_NAME = "index-v1.json"
_LATEST = "-latest.osm.pbf"
EXAMPLE_DATE = "2024-01-01"
EXAMPLE_REGION = hints.run("fetch", region="us/california", dry_run=True)


class Region(NamedTuple):
    """A region of Geofabrik's index.

    Attributes:
        id: Geofabrik's id of the region, such as `us/california`.
        name: full name, such as `California`.
        url: URL of the region's `.osm.pbf`.
        parent: id of the region that contains this region; "" for a continent.
        path: ids from the continent down to the region, such as `north-america/us/california/norcal`.
        bounds: (west, south, east, north) in degrees; None if the index has no geometry.
    """

    id: str
    name: str
    url: str
    parent: str
    path: str
    bounds: Bounds | None = None

    @property
    def short(self) -> str:
        """Last part of the region's id, such as `california`. With `fetch --region`, it is the default of `--name`."""
        return self.id.rpartition("/")[2]


def read_index(
    url: str = GEOFABRIK_INDEX, cache: Path | None = None, policy: RetryPolicy = RetryPolicy()
) -> list[Region]:
    """Returns all regions of a Geofabrik index.

    Args:
        url: URL (`http(s)://…` or `file://…`) or local path. It names the index itself, or the folder that contains
            `index-v1.json`.
        cache: folder for a copy of the index. The copy is used if the index on the server has not changed, or if the
            server cannot be reached.
        policy: retries and timeouts.

    Raises:
        OfflineError: the server cannot be reached, and there is no copy.
        DataError: the file is not an index in Geofabrik's format, or cannot be read.
    """
    url = _index_url(url)
    if not _is_remote(url):
        return _parse(_read_file(url), url)

    def check(text: str) -> None:
        _parse(text, url)

    return _parse(fetch_text(url, cache, policy, check), url)


def find_region(regions: list[Region], wanted: str) -> Region:
    """Finds a region by id, path, name or prefix.

    Args:
        regions: regions of the index.
        wanted: text to search for. It can be the id of the region (`us/california`), the last part of the id
            (`california`), the name (`California`), the beginning of one of these (`califor`), the whole
            `Region.path`, or the end of `Region.path` (`california/norcal`).

    Raises:
        NotFoundError: no region matches, or several regions match. The message names the most similar regions, or the
            regions that match.
    """
    plain = _normalise(wanted)
    for attribute in ("id", "short", "name"):
        found = [region for region in regions if _normalise(getattr(region, attribute)) == plain]
        if len(found) == 1:
            return found[0]
        if found:
            raise unknown(
                "region",
                wanted,
                [region.id for region in found],
                hints.instead(("--region", wanted), ("--region", found[0].id)),
            )
    found = [region for region in regions if plain and f"/{region.path}".endswith(f"/{plain}")]
    found = found or [region for region in regions if plain and _begins(region, plain)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"`{region.id}`" for region in sorted(found)[:8])
        message = f"`{wanted}` matches {len(found)} regions: {several}" + (", …" if len(found) > 8 else "")
        raise NotFoundError(message, hints.instead(("--region", wanted), ("--region", min(found).id)))
    names = [name for region in regions for name in (region.id, region.short)]
    near = nearest(wanted, names)
    known = [region.id for region in regions if near in (region.id, region.short)]
    hint = hints.instead(("--region", wanted), ("--region", known[0])) if known else EXAMPLE_REGION
    raise unknown("region", wanted, names, hint)


def dated(region: Region, date: str) -> Region:
    """Returns a copy of a region. Its `url` is the URL of the extract that Geofabrik made on the given day.

    Args:
        region: region of the index.
        date: day as `2024-01-31`, or `240131` as in Geofabrik's file names.

    Raises:
        UsageError: `date` is not a date, or the region has no dated extracts.
    """
    text = date.replace("-", "")
    try:
        day = datetime.datetime.strptime(text, "%Y%m%d" if len(text) == 8 else "%y%m%d")
    except ValueError:
        message = f"`{date}` is not a date; expected a date such as `{EXAMPLE_DATE}`"
        raise UsageError(message, hints.again(date=EXAMPLE_DATE)) from None
    if not region.url.endswith(_LATEST):
        message = f"`{region.url}` is not available for other days than the latest"
        raise UsageError(message, hints.run("fetch", region=region.id))
    return region._replace(url=f"{region.url.removesuffix(_LATEST)}-{day:%y%m%d}.osm.pbf")


def local_path(url: str) -> Path | None:
    """Returns the path of a `file://` URL; None for other URLs."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None


def _parse(text: str, url: str) -> list[Region]:
    try:
        features = json.loads(text)["features"]
        found = {entry["id"]: entry for entry in (feature["properties"] for feature in features)}
        bounds = {feature["properties"]["id"]: _bounds(feature.get("geometry")) for feature in features}
        return [
            Region(
                id_,
                entry["name"],
                _extract_url(entry["urls"]["pbf"], url),
                entry.get("parent", ""),
                _path(id_, found),
                bounds[id_],
            )
            for id_, entry in found.items()
            if "pbf" in entry["urls"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"`{url}` is not an index of Geofabrik: {error!r}", LOCAL_FILE) from error


def _begins(region: Region, plain: str) -> bool:
    return any(_normalise(name).startswith(plain) for name in (region.id, region.short, region.name))


def _bounds(geometry: dict[str, Any] | None) -> Bounds | None:
    """Returns the bounds of a GeoJSON polygon or multipolygon; None if the geometry is missing."""
    points: list[list[float]] = []

    def collect(part: Any) -> None:
        if part and isinstance(part[0], (int, float)):
            points.append(part)
        else:
            for inner in part:
                collect(inner)

    collect((geometry or {}).get("coordinates", []))
    if not points:
        return None
    lon, lat = [point[0] for point in points], [point[1] for point in points]
    return min(lon), min(lat), max(lon), max(lat)


def _path(id_: str, found: dict[str, dict[str, str]]) -> str:
    """Returns the path of a region: the ids of its parents and its id, separated by `/`.

    Some ids already start with the id of a parent, such as `us/california`. Then the parent is not repeated.
    """
    path, seen, parent = id_, {id_}, found[id_].get("parent", "")
    while parent in found and parent not in seen:
        path = path if path.startswith(f"{parent}/") else f"{parent}/{path}"
        seen.add(parent)
        parent = found[parent].get("parent", "")
    return path


def _index_url(url: str) -> str:
    if _is_remote(url) or url.startswith("file://"):
        is_file = urlsplit(url).path.endswith(".json")
        return url if is_file else f"{url.rstrip('/')}/{INDEX_NAME}"
    path = Path(url).absolute()
    return (path / INDEX_NAME if path.is_dir() else path).as_uri()


def _extract_url(url: str, index_url: str) -> str:
    """Returns the download URL of an extract, from the URL in an index.

    If the index was read from a mirror, the extract is downloaded from the same mirror instead of Geofabrik's server.

    Raises:
        ValueError: the URL starts with neither `http(s)://` nor `file://`, or it starts with `file://` although the
            index was read from a server.
    """
    if not url.startswith(HOME_URL):
        found = urljoin(index_url, url)
        if not _is_remote(found) and (_is_remote(index_url) or local_path(found) is None):
            raise ValueError(f"`{url}` is not the URL of an extract")
        return found
    mirrored = urljoin(index_url, url.removeprefix(HOME_URL))
    path = local_path(mirrored)
    return url if path is not None and not path.is_file() else mirrored


def _is_remote(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _read_file(url: str) -> str:
    path = local_path(url) or Path(url)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(f"`{path}` cannot be read: {why}", hints.again(geofabrik_url=GEOFABRIK_INDEX)) from error


def _normalise(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower())
