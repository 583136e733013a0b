"""Plans of the command `fetch`: the regions, file sizes and dates that are known before anything is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.fetch_request import ImageQuery, Request
from geojepa_cli.workspace.kinds import check_name, legal_name

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.sources.download import RemoteFile
    from geojepa_cli.sources.extract import Extract
    from geojepa_cli.sources.geofabrik import Region

_TILE_BYTES = 3 * 224 * 224
_MAX_LAT = 85.0  # approximate limit of Web Mercator, in degrees


class ImageryPlan(NamedTuple):
    """Number and size of the images that `fetch` would import or download.

    Attributes:
        images: number of image tiles in a local folder.
        scenes: number of scenes (georeferenced images).
        dates: dates of the oldest and the newest scene; empty if no date is known.
        bytes: size of the images on disk, in bytes.
        at_most: True if `bytes` is an upper limit.
        reason: reason why number and size are unknown; None if they are known.
    """

    images: int = 0
    scenes: int = 0
    dates: tuple[str, ...] = ()
    bytes: int = 0
    at_most: bool = False
    reason: str | None = None


class RegionPlan(NamedTuple):
    """A Geofabrik region that `fetch` would download, with its images."""

    region: Region
    file: RemoteFile
    imagery: ImageryPlan | None


class FilePlan(NamedTuple):
    """A local OpenStreetMap extract that `fetch` would copy, with its images."""

    name: str
    extract: Extract
    imagery: ImageryPlan | None


def choose_regions(request: Request, cache: Path) -> list[Region]:
    """Returns the requested Geofabrik regions, without duplicates.

    A region can also be requested by its name or the beginning of its name. The chosen region is then printed.
    Also checks the names of the regions and the folder of images, so that errors are raised before the download.

    Args:
        request: arguments of `fetch`, with at least one region.
        cache: folder for a copy of the Geofabrik index, which lists all regions.

    Raises:
        OfflineError: the index cannot be downloaded, and `cache` contains no copy.
        NotFoundError: there is no such region.
        UsageError: two regions would get the same name, or the folder of images does not exist.
        DataError: the folder contains no imagery.
    """
    from geojepa_cli.sources import geofabrik
    from geojepa_cli.sources.imagery import list_imagery

    index = geofabrik.read_index(request.index_url, cache)
    chosen: dict[str, Region] = {}
    for wanted in request.regions:
        region = geofabrik.find_region(index, wanted)
        if wanted.lower() not in (region.id, region.short):
            console.note(f"`{wanted}` is the region `{region.path}` ({region.name})")
        chosen[region.id] = geofabrik.dated(region, request.date) if request.date else region
    regions = list(chosen.values())
    if request.name is not None and len(regions) > 1:
        raise UsageError(
            "`--name` can be used with one `--region` only, because two regions cannot have the same name",
            hints.again(region=regions[0].id, name=request.name),
        )
    named: dict[str, Region] = {}
    for region in regions:
        name = request.name or region.short
        check_name(name)
        other = named.setdefault(name, region)
        if other is not region:
            hint = hints.again(region=region.id, name=legal_name(region.id))
            raise UsageError(
                f"the regions `{other.id}` and `{region.id}` would both be named `{name}`: fetch each of them with its "
                "own `--name`",
                hint,
            )
    if isinstance(request.imagery, Path):
        list_imagery(request.imagery)
    return regions


def plan_regions(request: Request, cache: Path) -> list[RegionPlan]:
    """Returns the extracts and images that `fetch` would download. Downloads only the Geofabrik index.

    Args:
        request: arguments of `fetch`, with at least one region.
        cache: folder for a copy of the Geofabrik index, which lists all regions.

    Raises:
        OfflineError: the index cannot be downloaded, and `cache` contains no copy.
    """
    regions = choose_regions(request, cache)
    files = [_file_metadata(region.url) for region in regions]
    images = [plan_imagery(request.imagery, request.bbox or region.bounds) for region in regions]
    return [RegionPlan(*row) for row in zip(regions, files, images, strict=True)]


def plan_file(request: Request) -> FilePlan:
    """Returns the local extract that `fetch` would copy, and the images that `fetch` would import or download.

    Raises:
        DataError: the file is not an OpenStreetMap extract, or the folder contains no imagery.
    """
    from geojepa_cli.sources.extract import extract_bounds, inspect_extract

    assert request.pbf is not None and request.name is not None
    extract = inspect_extract(request.pbf)
    # only a search needs the bounding box of the extract, which may require reading the whole file
    box = extract_bounds(extract) if isinstance(request.imagery, ImageQuery) and not request.bbox else request.bbox
    return FilePlan(request.name, extract, plan_imagery(request.imagery, box))


def plan_imagery(imagery: Path | ImageQuery | None, box: Bounds | None) -> ImageryPlan | None:
    """Returns the number, dates and size of the requested images, or None if no imagery is requested.

    For images from a server, the size is an upper limit: it assumes one image for every tile in the bounding box.

    Raises:
        DataError, UsageError: the folder contains no imagery.
    """
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.http import OfflineError
    from geojepa_cli.sources.imagery import disk_bytes, inspect_imagery
    from geojepa_cli.sources.stac import capture_date

    if imagery is None:
        return None
    if isinstance(imagery, Path):
        found = inspect_imagery(imagery, bbox=box)
        scenes = found.scenes
        images = 0 if scenes else len(found.files)
        return ImageryPlan(images, len(scenes), _range([scene.date for scene in scenes]), *disk_bytes(found))
    if box is None:
        return ImageryPlan(
            reason=f"{imagery.collection.title} is searched after the download, in the bounding box of the extract; "
            "with `--bbox`, the search is part of the dry run"
        )
    try:
        items = naip.search(box, imagery.url, imagery.year, imagery.collection)
    except OfflineError as error:
        return ImageryPlan(reason=error.message)
    size = _count_tiles(box) * _TILE_BYTES if items else 0
    return ImageryPlan(0, len(items), _range([capture_date(item) for item in items]), size, True)


def _file_metadata(url: str) -> RemoteFile:
    """Returns the size and date of an extract on a server. Prints a warning if the server cannot be reached."""
    from geojepa_cli.sources.download import RemoteFile, fetch_metadata
    from geojepa_cli.sources.geofabrik import local_path
    from geojepa_cli.sources.http import OfflineError

    path = local_path(url)
    if path is not None:
        return RemoteFile(path.stat().st_size if path.is_file() else None, None)
    try:
        return fetch_metadata(url)
    except OfflineError as error:
        console.warn(error.message, error.hint)
        return RemoteFile(None, None)


def _count_tiles(box: Bounds) -> int:
    from geojepa_cli.grid import tile_of

    west, south, east, north = box
    first, last = tile_of(west, min(north, _MAX_LAT), 16), tile_of(min(east, 179.9999), max(south, -_MAX_LAT), 16)
    return (last.x - first.x + 1) * (last.y - first.y + 1)


def _range(dates: Sequence[str]) -> tuple[str, ...]:
    """Returns the first and the last of the known dates, or an empty tuple if no date is known."""
    known = sorted(date for date in dates if date)
    return (known[0], known[-1]) if known else ()
