"""Sources: a map extract, and imagery, brought into the workspace."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint, paste
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, check_name, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.sources.extract import Extract
    from geojepa_cli.sources.geofabrik import Region
    from geojepa_cli.sources.local import Imagery
    from geojepa_cli.sources.scenes import Scene


def _rebuild(remains: Remains) -> Hint:
    return hints.run("fetch", pbf="FILE", name=legal_name(remains.name))


SOURCE = Stage("source", version=1, rebuild=_rebuild)
DOWNLOADS = "downloads"  # of the workspace: a source's id is that of its content, unknown until the download is whole
STAC = "https://planetarycomputer.microsoft.com/api/stac/v1"
COARSE_M = 5.5  # of a scene's pixel: twice the pixel of a zoom-16 tile at the equator
GEOFABRIK = "https://download.geofabrik.de/index-v1-nogeom.json"


class Naip(NamedTuple):
    """NAIP imagery as it is asked for.

    Attributes:
        year: of capture, None for the newest of each footprint.
        url: of the STAC API.
    """

    year: int | None = None
    url: str = STAC


class Extras(NamedTuple):
    """What goes into a source beside its extract.

    Attributes:
        imagery: a folder of image tiles or scenes, whose `ATTRIBUTION.txt` goes into the manifest; or NAIP.
        attribution: further lines.
        bbox: west, south, east, north; `tile` keeps the tiles that meet it, and of the image tiles those are copied.
    """

    imagery: Path | Naip | None = None
    attribution: tuple[str, ...] = ()
    bbox: Bounds | None = None


def check_date(text: str) -> None:
    """UsageError where this is no day, before any server is asked for it."""
    try:
        if datetime.date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise UsageError(f"`--date {text}` is not a day such as 2024-01-01", hint="--date 2024-01-01")


def make_source(
    workspace: Workspace,
    pbf: Path,
    name: str,
    imagery: Path | Naip | None = None,
    attribution: Sequence[str] = (),
    bbox: Bounds | None = None,
    link: bool = False,
) -> Artifact:
    """Publishes `source/<name>`: a copy of an extract as `map.osm.pbf` (`.osm`, …), and of image tiles as `imagery/`.

    Args:
        workspace: where.
        pbf: a PBF or OSM XML file; told by its content, checked to be whole.
        name: of the region.
        imagery, attribution, bbox: as in `Extras`.
        link: the extract is a download, which nobody changes: it may be shared with the artifact instead of copied,
            and is removed where it is no extract.

    Raises:
        UsageError: a file or folder that does not exist, or a name that is none.
        DataError: not an extract, or not a whole one; no image tiles.
    """
    from geojepa_cli.sources.extract import (
        OSM_ATTRIBUTION,
        check_box,
        format_box,
        header_bounds,
        inspect_extract,
    )
    from geojepa_cli.sources.local import copy_source, lies_beside

    check_name(name)
    try:
        with console.progress(f"read {pbf.name}") as meter:
            extract = inspect_extract(pbf, meter.update)
    except DataError:
        if link:
            pbf.unlink()
        raise
    check_box(extract, bbox)
    images = find_imagery(imagery, extract, bbox)
    lines = [OSM_ATTRIBUTION, *(images.attribution if images else []), *attribution]
    box = header_bounds(extract)
    if images and box and lies_beside(images, box):
        console.warn(f"`{imagery}`: no image of it meets the extract, whose box is {format_box(box)}")
    if images and len(lines) == 1:
        console.warn(
            f"`{imagery}`: whose images these are is not said; --attribution TEXT, or a file `ATTRIBUTION.txt`"
        )
    params = {
        "map": extract.sha256,
        "format": extract.suffix,
        "imagery": images.sha256 if images else None,
        "attribution": lines,
        **({"bbox": list(bbox)} if bbox else {}),
    }
    with SOURCE.build(workspace, name, params) as build:
        if build.existing:
            console.note(f"source/{build.existing.ref} is up to date, skipping")
            return build.existing
        copy_source(extract, images, build.partial, link)
        counts = {"bytes": extract.bytes, "images": len(images.files) if images and not images.scenes else 0}
        if images and images.scenes:
            counts["scenes"] = len(images.scenes)
            if not isinstance(imagery, Naip):
                say_scenes(images.scenes)
        return build.publish(counts=counts, attribution=lines, extra={"crs": "EPSG:4326", "origin": pbf.name})


def find_imagery(imagery: Path | Naip | None, extract: Extract, bbox: Bounds | None) -> Imagery | None:
    """The imagery of an extract, None where none is wanted or, with a warning, where NAIP has none.

    Raises:
        DataError, UsageError: a folder without imagery.
        OfflineError: the STAC API cannot be reached.
    """
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.extract import extract_bounds, format_box
    from geojepa_cli.sources.local import inspect_imagery

    if imagery is None:
        return None
    if isinstance(imagery, Path):
        with console.progress("read image tiles") as meter:
            return inspect_imagery(imagery, meter.update, bbox)
    box = bbox or extract_bounds(extract)
    with console.progress("search NAIP"):
        items = naip.search(box, imagery.url, imagery.year)
    if items:
        return naip.imagery(items)
    of, place = f" of {imagery.year}" if imagery.year else "", format_box(box)
    console.warn(f"there are no NAIP images{of} in {place} (NAIP is of the United States); the map goes on without")
    return None


def say_scenes(scenes: Sequence[Scene]) -> None:
    """What kind of imagery came: its CRS, resolution, depth and date; with a warning where it is coarse."""
    from geojepa_cli.sources.scenes import ground_resolution

    coarse: dict[str, float] = {}
    for scene in scenes:
        width, height = ground_resolution(scene.path)
        size = f"{width:.3g} × {height:.3g} m per pixel"
        console.note(f"{scene.path.name}: {scene.crs}, {size}, {scene.dtype}, {scene.date or 'no date'}")
        if max(width, height) > COARSE_M:
            coarse[scene.path.name] = max(width, height)
    if coarse:
        name, size_m = max(coarse.items(), key=lambda item: item[1])
        what = f"{len(coarse):,} scenes have pixels of more than {COARSE_M:g} m, up to {size_m:.3g} m (`{name}`)"
        console.warn(f"{what}: images of zoom-16 tiles have pixels of 2.7 m at the equator, and will be blurred")


def fetch_regions(
    workspace: Workspace,
    regions: Sequence[str],
    name: str | None = None,
    extras: Extras = Extras(),
    index_url: str = GEOFABRIK,
    date: str | None = None,
) -> list[Artifact]:
    """Downloads regions of Geofabrik and publishes each as `source/<its name>`.

    Raises:
        OfflineError: the server cannot be reached; what was loaded is kept and gone on with.
    """
    from geojepa_cli.sources import geofabrik
    from geojepa_cli.sources.download import download

    downloads = workspace.root / DOWNLOADS
    chosen = choose(regions, index_url, date, downloads)
    check_plan(chosen, name, extras)
    downloads.mkdir(parents=True, exist_ok=True)
    sources = []
    for region in chosen:
        path, own = geofabrik.local_path(region.url), False
        if path is None:
            path, own = downloads / f"{region.id.replace('/', '-')}{date or ''}.osm.pbf", True
            with console.progress(f"download {region.id}") as meter:
                download(region.url, path, meter.update)
        sources.append(make_source(workspace, path, name or region.short, *extras, link=own))
        if own:
            path.unlink()
    return sources


def check_plan(chosen: Sequence[Region], name: str | None, extras: Extras) -> None:
    """What would be refused after the download is refused before it.

    Raises:
        UsageError: a name that is none or of two regions; no folder of images.
        DataError: a folder without imagery.
    """
    from geojepa_cli.sources.local import list_imagery

    if name is not None and len(chosen) > 1:
        raise UsageError("--name names one region", _one_of(chosen[0], name))
    of: dict[str, Region] = {}
    for region in chosen:
        check_name(name or region.short)
        other = of.setdefault(name or region.short, region)
        if other is not region:
            message = f"`{other.id}` and `{region.id}` would both be named `{region.short}`"
            raise UsageError(f"{message}: fetch them one by one", _one_of(region, legal_name(region.id)))
    if isinstance(extras.imagery, Path):
        list_imagery(extras.imagery)


def _one_of(region: Region, name: str) -> str:
    return f"{paste('--region', region.id)} {paste('--name', name)}"


def choose(wanted: Sequence[str], index_url: str, date: str | None, cache: Path) -> list[Region]:
    """The regions of these names, each once; those that were completed are said."""
    from geojepa_cli.sources import geofabrik

    index = geofabrik.read_index(index_url, cache)
    found: dict[str, Region] = {}
    for name in wanted:
        region = geofabrik.find_region(index, name)
        if name.lower() not in (region.id, region.short):
            console.note(f"`{name}` is `{region.path}`, {region.name}")
        found[region.id] = geofabrik.dated(region, date) if date else region
    return list(found.values())
