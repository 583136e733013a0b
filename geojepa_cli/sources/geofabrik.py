"""Geofabrik's regions: reads the server's index, and finds a region in it by id, path, name or the beginning of one."""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from geojepa_cli import console
from geojepa_cli.errors import DataError, NotFoundError, UsageError, nearest, unknown
from geojepa_cli.grid import Bounds
from geojepa_cli.hints import paste
from geojepa_cli.sources.download import OFFLINE_HINT, OfflineError, Patience, client, get_page

INDEX_URL = "https://download.geofabrik.de/index-v1-nogeom.json"
INDEX_NAME = "index-v1.json"
_HOME = "https://download.geofabrik.de/"
_LATEST = "-latest.osm.pbf"
_INDEX_BYTES = 1 << 28  # far more than the index with its geometries


class Region(NamedTuple):
    """A region of the index.

    Attributes:
        id: Geofabrik's, such as `us/california`.
        name: in words.
        url: of its `.osm.pbf`.
        parent: id of the region around it, or "".
        path: the ids from the continent down, such as `north-america/us/california/norcal`.
        bounds: west, south, east, north in degrees, where the index has geometries.
    """

    id: str
    name: str
    url: str
    parent: str
    path: str
    bounds: Bounds | None = None

    @property
    def short(self) -> str:
        """The last part of its id, which names the artifact."""
        return self.id.rpartition("/")[2]


def read_index(url: str = INDEX_URL, cache: Path | None = None, patience: Patience = Patience()) -> list[Region]:
    """All regions of a Geofabrik index.

    Args:
        url: of the index, `http(s)://…`, `file://…` or a path; or of the folder that holds `index-v1.json`.
        cache: a folder for a copy with the server's date. It is used where the server says that nothing changed, and,
            with a note, where it cannot be reached.
        patience: with the server.

    Raises:
        OfflineError: the server cannot be reached, and there is no copy.
        DataError: it answered with something else.
    """
    url = _index_url(url)
    return _parse(_fetch_index(url, cache, patience) if _is_remote(url) else _read_file(url), url)


def find_region(regions: list[Region], wanted: str) -> Region:
    """The region of a name: `california`, `us/california`, `California`, `california/norcal`, or `califor`.

    Raises:
        NotFoundError: there is none, or several; says the nearest, or those.
    """
    plain = _plain(wanted)
    for attribute in ("id", "short", "name"):
        found = [region for region in regions if _plain(getattr(region, attribute)) == plain]
        if len(found) == 1:
            return found[0]
        if found:
            raise unknown("region", wanted, [region.id for region in found], hint=f"--region {found[0].id}")
    found = [region for region in regions if plain and f"/{region.path}".endswith(f"/{plain}")]
    found = found or [region for region in regions if plain and _begins(region, plain)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"`{region.id}`" for region in sorted(found)[:8])
        message = f"`{wanted}` begins {len(found)} regions: {several}" + (", …" if len(found) > 8 else "")
        raise NotFoundError(message, hint=paste("geojepa", "fetch", "--region", min(found).id))
    names = [name for region in regions for name in (region.id, region.short)]
    near = nearest(wanted, names)
    known = [region.id for region in regions if near in (region.id, region.short)]
    hint = (
        paste("geojepa", "fetch", "--region", known[0]) if known else "geojepa fetch --region us/california --dry-run"
    )
    raise unknown("region", wanted, names, hint=hint)


def dated(region: Region, date: str) -> Region:
    """The region's extract of a day.

    Args:
        region: of the index.
        date: `2024-01-31` or, as Geofabrik writes it, `240131`.

    Raises:
        UsageError: it is no date, or the region's file is not one of a row of dates.
    """
    text = date.replace("-", "")
    try:
        day = datetime.datetime.strptime(text, "%Y%m%d" if len(text) == 8 else "%y%m%d")
    except ValueError:
        raise UsageError(f"`{date}` is not a date", hint="--date 2024-01-01") from None
    if not region.url.endswith(_LATEST):
        raise UsageError(f"`{region.url}` has no dated versions", hint=paste("geojepa", "fetch", "--region", region.id))
    return region._replace(url=f"{region.url.removesuffix(_LATEST)}-{day:%y%m%d}.osm.pbf")


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL; None for one on a server."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None


def _parse(text: str, url: str) -> list[Region]:
    try:
        features = json.loads(text)["features"]
        found = {entry["id"]: entry for entry in (feature["properties"] for feature in features)}
        places = {feature["properties"]["id"]: _bounds(feature.get("geometry")) for feature in features}
        return [
            Region(
                id_,
                entry["name"],
                _located(entry["urls"]["pbf"], url),
                entry.get("parent", ""),
                _path(id_, found),
                places[id_],
            )
            for id_, entry in found.items()
            if "pbf" in entry["urls"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"`{url}` is not an index of Geofabrik: {error!r}", hint=OFFLINE_HINT) from error


def _begins(region: Region, plain: str) -> bool:
    return any(_plain(name).startswith(plain) for name in (region.id, region.short, region.name))


def _bounds(geometry: dict[str, Any] | None) -> Bounds | None:
    """The box of a (multi)polygon of GeoJSON."""
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
    """Ids hold a part of the path in some cases (`us/california`, of `north-america`) and none in others (`norcal`)."""
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


def _located(url: str, index_url: str) -> str:
    """Where a file of the index is to be had: a mirror's index names its files by Geofabrik's own address.

    Raises:
        ValueError: an index on a server names a file of this machine, or something that no server is asked for.
    """
    if not url.startswith(_HOME):
        found = urljoin(index_url, url)
        if not _is_remote(found) and (_is_remote(index_url) or local_path(found) is None):
            raise ValueError(f"`{url}` is no address of an extract")
        return found
    beside = urljoin(index_url, url.removeprefix(_HOME))
    path = local_path(beside)
    return url if path is not None and not path.is_file() else beside


def _is_remote(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _read_file(url: str) -> str:
    path = local_path(url) or Path(url)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        raise DataError(f"`{path}`: {why}", hint=paste("--geofabrik-url", INDEX_URL)) from error


def _fetch_index(url: str, cache: Path | None, patience: Patience) -> str:
    copy = cache / f"index-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json" if cache else None
    kept = _kept(copy, url) if copy else None
    modified = copy.stat().st_mtime if copy and kept is not None else None
    headers = {} if modified is None else {"If-Modified-Since": email.utils.formatdate(modified, usegmt=True)}
    try:
        with client(patience) as http:
            page = get_page(http, url, patience, _INDEX_BYTES, headers)
        if page.code >= httpx.codes.BAD_REQUEST:
            raise OfflineError(f"`{url}` answered {page.code} {httpx.codes.get_reason_phrase(page.code)}", OFFLINE_HINT)
    except OfflineError as error:
        if kept is None:
            raise
        console.note(f"{error.message}; going on with the index of {email.utils.formatdate(modified, usegmt=True)}")
        return kept
    if page.code == httpx.codes.NOT_MODIFIED and kept is not None:
        return kept
    text = page.content.decode("utf-8", "replace")
    if copy is not None and copy.parent.is_dir() and _is_index(text, url):
        _keep(text, page.headers.get("last-modified", ""), copy)
    return text


def _kept(copy: Path, url: str) -> str | None:
    """The copy of an index, None where there is none, or something else in its place."""
    try:
        text = copy.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text if _is_index(text, url) else None


def _keep(text: str, modified: str, copy: Path) -> None:
    """Written whole or not at all; its time is the server's, so that the server can be asked what is newer."""
    fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    if email.utils.parsedate_tz(modified) is not None:
        date = email.utils.parsedate_to_datetime(modified)
        os.utime(fresh, (date.timestamp(), date.timestamp()))
    fresh.replace(copy)


def _is_index(text: str, url: str) -> bool:
    try:
        _parse(text, url)
    except DataError:
        return False
    return True


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower())
