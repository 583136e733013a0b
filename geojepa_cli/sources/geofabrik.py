"""Geofabrik's extracts: finds a region in the server's index, and downloads it, going on where a download broke off."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from geojepa_cli.errors import DataError, GeojepaError, unknown

INDEX_URL = "https://download.geofabrik.de/index-v1-nogeom.json"
TIMEOUT_S = httpx.Timeout(30.0, connect=10.0)
CHUNK = 1 << 20
OFFLINE_HINT = "geojepa fetch --pbf FILE --name NAME, with an extract from elsewhere"
PARTIAL = ".partial"


class Region(NamedTuple):
    """A region of the index.

    Attributes:
        id: Geofabrik's, such as `us/california`.
        name: in words.
        url: of its `.osm.pbf`.
        parent: id of the region around it, or "".
    """

    id: str
    name: str
    url: str
    parent: str

    @property
    def short(self) -> str:
        """The last part of its id, which names the artifact."""
        return self.id.rpartition("/")[2]


class RemoteFile(NamedTuple):
    """What the server says of a file, each None where it does not."""

    bytes: int | None
    modified: str | None


class OfflineError(GeojepaError):
    """The server cannot be reached."""


def read_index(url: str = INDEX_URL) -> list[Region]:
    """All regions of a Geofabrik index.

    Args:
        url: `http(s)://…`, or `file://…` or a path for a copy at hand.

    Raises:
        OfflineError: the server cannot be reached.
        DataError: it answered with something else.
    """
    text = _read_text(url)
    try:
        entries = [feature["properties"] for feature in json.loads(text)["features"]]
        return [
            Region(entry["id"], entry["name"], entry["urls"]["pbf"], entry.get("parent", ""))
            for entry in entries
            if "pbf" in entry["urls"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"`{url}` is not an index of Geofabrik: {error!r}", hint=OFFLINE_HINT) from error


def find_region(regions: list[Region], wanted: str) -> Region:
    """The region of a name: `california`, `us/california`, `California`.

    Raises:
        NotFoundError: there is none; says the nearest.
    """
    plain = _plain(wanted)
    for attribute in ("id", "short", "name"):
        found = [region for region in regions if _plain(getattr(region, attribute)) == plain]
        if len(found) == 1:
            return found[0]
        if found:
            raise unknown("region", wanted, [region.id for region in found], hint=f"--region {found[0].id}")
    candidates = {region.id for region in regions} | {region.short for region in regions}
    raise unknown("region", wanted, candidates, hint="the names stand on https://download.geofabrik.de")


def ask(url: str) -> RemoteFile:
    """Size and date of a file on the server, without loading it.

    Raises:
        OfflineError: the server cannot be reached, or refuses.
    """
    with _reaching(url):
        answer = httpx.head(url, follow_redirects=True, timeout=TIMEOUT_S)
        answer.raise_for_status()
    length = answer.headers.get("content-length")
    return RemoteFile(int(length) if length else None, answer.headers.get("last-modified"))


def download(url: str, target: Path, meter: Callable[[int, int | None], None] | None = None) -> None:
    """Loads a file, goes on with what an earlier try left, and compares it with the MD5 beside it on the server.

    Args:
        url: of the file; its MD5 is expected at `<url>.md5`.
        target: is there only when the whole file is; until then `<target>.partial`.
        meter: called with (bytes done, bytes in all).

    Raises:
        OfflineError: the server cannot be reached, or the connection broke; what was loaded is kept.
        DataError: the file differs from its MD5; it is removed.
    """
    partial = target.with_name(target.name + PARTIAL)
    with _reaching(url):
        expected = _md5_beside(url)
        _stream(url, partial, meter)
    with partial.open("rb") as file:
        got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if expected is not None and got != expected:
        partial.unlink()
        raise DataError(f"`{url}` has MD5 {got}, the server says {expected}", hint="run this again")
    partial.rename(target)


def _stream(url: str, partial: Path, meter: Callable[[int, int | None], None] | None) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here already
        answer.raise_for_status()
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            done = 0  # the server sends the whole file
        length = answer.headers.get("content-length")
        total = done + int(length) if length else None
        with partial.open("ab" if done else "wb") as file:
            for chunk in answer.iter_bytes(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if meter is not None:
                    meter(done, total)


def _md5_beside(url: str) -> str | None:
    answer = httpx.get(f"{url}.md5", follow_redirects=True, timeout=TIMEOUT_S)
    match = re.match(r"([0-9a-f]{32})\b", answer.text) if answer.is_success else None
    return match[1] if match else None


def _read_text(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        path = Path(url.removeprefix("file://"))
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"`{path}`: {error.strerror}", hint="--geofabrik-url with an index-v1.json") from error
    with _reaching(url):
        answer = httpx.get(url, follow_redirects=True, timeout=TIMEOUT_S)
        answer.raise_for_status()
    return answer.text


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Failures of the network and of the server as one kind of error."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        raise OfflineError(f"`{url}` answered {code} {error.response.reason_phrase}", hint=OFFLINE_HINT) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise OfflineError(f"`{url}` cannot be reached: {_told(error)}", hint=OFFLINE_HINT) from error


def _told(error: Any) -> str:
    text = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).lower()


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower())
