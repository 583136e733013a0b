"""Stage `source/`: imports or downloads OpenStreetMap extracts (map files) and, optionally, aerial imagery."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.sources.urls import GEOFABRIK_INDEX
from geojepa_cli.stages.fetch_request import NO_IMAGERY, FetchOptions, ImageQuery, Request, check_request
from geojepa_cli.stages.source_plan import choose_regions
from geojepa_cli.stages.stage import Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, legal_name
from geojepa_cli.workspace.leftovers import DOWNLOADS
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.sources.extract import Extract
    from geojepa_cli.sources.imagery import Imagery
    from geojepa_cli.sources.scenes import Scene


def _rebuild(remains: Remains) -> Hint:
    return hints.run("fetch", pbf="FILE", name=legal_name(remains.name))


SOURCE = Stage("source", version=1, rebuild=_rebuild)
_COARSE_M = 5.5  # pixel size above which scenes are coarse: twice that of a zoom-16 tile at the equator


@as_command("fetch")
def fetch(
    workspace: Workspace,
    region: str | Sequence[str] | None = None,
    pbf: str | Path | None = None,
    name: str | None = None,
    imagery: str | Path = NO_IMAGERY,
    year: int | None = None,
    attribution: str | Sequence[str] = (),
    bbox: Bounds | None = None,
    date: str | None = None,
    geofabrik_url: str | Path = GEOFABRIK_INDEX,
    stac_url: str | None = None,
) -> list[Artifact]:
    """Imports a local OpenStreetMap extract, or downloads extracts from Geofabrik. Can also import aerial imagery.

    Args:
        workspace: workspace to publish to.
        region: names of Geofabrik regions to download. Exactly one of `region` and `pbf` is required.
        pbf: path of a local extract in PBF or OSM XML format.
        name: name of the region in the workspace. Required if `pbf` is given. Default: last part of the Geofabrik id.
        imagery: `naip` (images from a server), a folder of image tiles, a folder of GeoTIFF and VRT files, or `none`.
        year: year in which the images from a server were taken. Default: the newest image of each area.
        attribution: attribution lines, in addition to those for OpenStreetMap and the imagery.
        bbox: bounding box (west, south, east, north) in degrees. Limits the imagery and, by default, the tiles.
        date: date of the Geofabrik extract, such as `2024-01-01`. Default: the latest.
        geofabrik_url: URL or path of a Geofabrik mirror or of its index.
        stac_url: URL of the STAC API on which images are searched. Default: the API of the image collection.

    Returns:
        One `source/` artifact per region.

    Raises:
        UsageError: arguments are missing or cannot be combined, or a file does not exist.
        DataError: a file is not an OpenStreetMap extract, or the imagery cannot be used.
        OfflineError: a server cannot be reached. The next call resumes interrupted downloads.
    """
    options = FetchOptions(region, pbf, name, imagery, year, attribution, bbox, date, geofabrik_url, stac_url)
    request = check_request(options)
    if request.pbf is not None and request.name is not None:
        return [_publish(workspace, request.pbf, request.name, request)]
    return _fetch_regions(workspace, request)


def make_source(
    workspace: Workspace,
    name: str,
    extract: Extract,
    imagery: Imagery | None,
    attribution: Sequence[str],
    bbox: Bounds | None = None,
    link: bool = False,
) -> Artifact:
    """Publishes the artifact `source/<name>` with a map file, such as `map.osm.pbf`, and imagery in `imagery/`.

    Args:
        workspace: workspace to publish to.
        name: name of the artifact.
        extract: OpenStreetMap extract, whose file is copied to the artifact.
        imagery: images to copy to the artifact, or None.
        attribution: all attribution lines, including the line of OpenStreetMap.
        bbox: bounding box to which the command `tile` limits the tiles by default.
        link: create a hard link to the file of the extract, instead of copying the file.
    """
    from geojepa_cli.sources.imagery import copy_source

    params: dict[str, Any] = {
        "map": extract.sha256,
        "format": extract.suffix,
        "imagery": imagery.sha256 if imagery else None,
        "attribution": list(attribution),
        **({"bbox": list(bbox)} if bbox else {}),
    }

    def write(build: Build) -> Artifact:
        copy_source(extract, imagery, build.partial, link)
        scenes = imagery.scenes if imagery else ()
        counts = {"bytes": extract.bytes, "images": len(imagery.files) if imagery and not scenes else 0}
        if scenes:
            counts["scenes"] = len(scenes)
            if imagery and imagery.files:  # scenes on a server have no files
                _print_scenes(scenes)
        extra = {"crs": "EPSG:4326", "origin": extract.path.name}
        return build.publish(counts=counts, attribution=attribution, extra=extra)

    return SOURCE.make(workspace, name, params, [], write)


def _fetch_regions(workspace: Workspace, request: Request) -> list[Artifact]:
    from geojepa_cli.sources.download import downloaded
    from geojepa_cli.sources.geofabrik import local_path

    downloads = workspace.root / DOWNLOADS
    sources = []
    for region in choose_regions(request, downloads):
        name = request.name or region.short
        path = local_path(region.url)
        if path is not None:
            sources.append(_publish(workspace, path, name, request))
            continue
        downloads.mkdir(parents=True, exist_ok=True)
        target = downloads / f"{region.id.replace('/', '-')}{request.date or ''}.osm.pbf"
        with contextlib.ExitStack() as stack:
            with console.progress(f"download {region.id}") as meter:
                stack.enter_context(downloaded(region.url, target, meter.update))
            sources.append(_publish(workspace, target, name, request, is_download=True))
            target.unlink()
    return sources


def _publish(workspace: Workspace, pbf: Path, name: str, request: Request, is_download: bool = False) -> Artifact:
    """Checks the file of an extract, finds the requested imagery, and publishes both.

    If the file was downloaded, the artifact gets a hard link to the file. If a downloaded file is not a valid extract,
    the file is deleted.
    """
    from geojepa_cli.sources.extract import (
        OSM_ATTRIBUTION,
        check_box,
        format_box,
        header_bounds,
        inspect_extract,
    )
    from geojepa_cli.sources.imagery import lies_outside

    try:
        with console.progress(f"read {pbf.name}") as meter:
            extract = inspect_extract(pbf, meter.update)
    except DataError:
        if is_download:
            pbf.unlink()
        raise
    check_box(extract, request.bbox)
    imagery = _find_imagery(request.imagery, extract, request.bbox)
    lines = [OSM_ATTRIBUTION, *(imagery.attribution if imagery else []), *request.attribution]
    if imagery:
        box = header_bounds(extract)
        if box and lies_outside(imagery, box):
            hint = hints.again(imagery="DIR")
            console.warn(
                f"no image of `{request.imagery}` intersects the extract with the bounding box {format_box(box)}", hint
            )
        if len(lines) == 1:
            console.warn(
                f"imagery `{request.imagery}` has no attribution: the data source of the images is unknown",
                hints.again(attribution="TEXT"),
            )
    return make_source(workspace, name, extract, imagery, lines, request.bbox, link=is_download)


def _find_imagery(imagery: Path | ImageQuery | None, extract: Extract, bbox: Bounds | None) -> Imagery | None:
    """Finds the imagery that was requested for an extract.

    Returns:
        The imagery, or None if no imagery was requested. If the server has no imagery in the area of the extract,
        prints a warning and also returns None.

    Raises:
        DataError, UsageError: the folder contains no imagery.
        OfflineError: the STAC API cannot be reached.
    """
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.extract import extract_bounds, format_box
    from geojepa_cli.sources.imagery import inspect_imagery

    if imagery is None:
        return None
    if isinstance(imagery, Path):
        with console.progress("read image tiles") as meter:
            return inspect_imagery(imagery, meter.update, bbox)
    box = bbox or extract_bounds(extract)
    collection = imagery.collection
    with console.progress(f"search {collection.title}"):
        items = naip.search(box, imagery.url, imagery.year, collection)
    if items:
        return naip.items_as_imagery(items, collection)
    of = f" of {imagery.year}" if imagery.year else ""
    where = f"the bounding box {format_box(box)} ({collection.title} covers {collection.area})"
    console.warn(
        f"there are no {collection.title} images{of} in {where}, so the region gets no imagery",
        hints.again(imagery="DIR"),
    )
    return None


def _print_scenes(scenes: Sequence[Scene]) -> None:
    """Prints CRS, pixel size, data type and date of each scene. Warns if scenes have large pixels."""
    from geojepa_cli.sources.scenes import ground_resolution

    coarse: dict[str, float] = {}
    for scene in scenes:
        width, height = ground_resolution(scene.path)
        size = f"{width:.3g} × {height:.3g} m per pixel"
        console.note(f"{scene.path.name}: {scene.crs}, {size}, {scene.dtype}, {scene.date or 'no date'}")
        if max(width, height) > _COARSE_M:
            coarse[scene.path.name] = max(width, height)
    if coarse:
        name, size_m = max(coarse.items(), key=lambda item: item[1])
        have = console.counted(len(coarse), "scene has", "scenes have")
        what = f"{have} pixels of more than {_COARSE_M:g} m, up to {size_m:.3g} m (`{name}`)"
        console.warn(
            f"{what}: images of zoom-16 tiles need pixels of 2.7 m or less, so images from these scenes will be blurred"
        )
