"""Plans of `fetch`: sizes, dates and disk need before anything is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.stages.source import Naip

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.sources.download import RemoteFile
    from geojepa_cli.sources.extract import Extract
    from geojepa_cli.sources.geofabrik import Region

IMAGE_BYTES = 3 * 224 * 224


def plan_imagery(imagery: Path | Naip | None, box: Bounds | None) -> dict[str, Any] | None:
    """What is known of imagery before it is fetched: number, dates, and bytes on disk, which for scenes on a server are
    those of an image for every tile of the box, the most that can be; None without imagery.

    Raises:
        DataError, UsageError: a folder without imagery.
    """
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.download import OfflineError
    from geojepa_cli.sources.local import bytes_of, inspect_imagery

    if imagery is None:
        return None
    if isinstance(imagery, Path):
        found = inspect_imagery(imagery, bbox=box)
        size, at_most = bytes_of(found)
        scenes = len(found.scenes)
        return {
            "images": 0 if scenes else len(found.files),
            "scenes": scenes,
            "dates": _span([scene.date for scene in found.scenes]),
            "bytes": size,
            "at_most": at_most,
        }
    if box is None:
        return {"reason": "NAIP is searched when the extract is here; --bbox tells before"}
    try:
        items = naip.search(box, imagery.url, imagery.year)
    except OfflineError as error:
        return {"reason": error.message}
    most = _tiles_in(box) * IMAGE_BYTES if items else 0
    dates = _span([scene.date for scene in naip.scenes_of(items)])
    return {"images": 0, "scenes": len(items), "dates": dates, "bytes": most, "at_most": True}


def _tiles_in(box: Bounds) -> int:
    from geojepa_cli.grid import tile_of

    west, south, east, north = box
    limit = 85.0  # of Web Mercator
    first, last = tile_of(west, min(north, limit), 16), tile_of(min(east, 179.9999), max(south, -limit), 16)
    return (last.x - first.x + 1) * (last.y - first.y + 1)


def _span(dates: Sequence[str]) -> list[str]:
    known = sorted(date for date in dates if date)
    return [known[0], known[-1]] if known else []


def imagery_box(extract: Extract, imagery: Path | Naip | None) -> Bounds | None:
    """Of use for NAIP alone."""
    from geojepa_cli.sources.extract import extract_bounds

    return extract_bounds(extract) if isinstance(imagery, Naip) else None


def ask_server(url: str) -> RemoteFile:
    from geojepa_cli.sources.download import OfflineError, RemoteFile, ask
    from geojepa_cli.sources.geofabrik import local_path

    path = local_path(url)
    if path is not None:
        return RemoteFile(path.stat().st_size if path.is_file() else None, None)
    try:
        return ask(url)
    except OfflineError as error:
        console.warn(error.message)
        return RemoteFile(None, None)


def region_row(region: Region, file: RemoteFile) -> dict[str, Any]:
    return {"id": region.id, "name": region.name, "url": region.url, "bytes": file.bytes, "modified": file.modified}
