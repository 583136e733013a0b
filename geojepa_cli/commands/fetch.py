"""`geojepa fetch`: brings a map extract, and image tiles, into the workspace."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.tile import Bbox, parse_bbox
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import paste
from geojepa_cli.workspace import Artifact, Workspace, check_name, legal_name

if TYPE_CHECKING:
    from geojepa_cli.sources.download import RemoteFile
    from geojepa_cli.sources.extract import Extract
    from geojepa_cli.sources.geofabrik import Region
    from geojepa_cli.sources.local import Imagery
    from geojepa_cli.sources.scenes import Scene

STAGE_VERSION = 1
DOWNLOADS = "downloads"  # of the workspace: a source's id is that of its content, unknown until the download is whole
NO_IMAGERY, NAIP = "none", "naip"
STAC = "https://planetarycomputer.microsoft.com/api/stac/v1"
IMAGE_BYTES = 3 * 224 * 224
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
    bbox: Bbox | None = None


def fetch(
    ctx: typer.Context,
    region: Annotated[
        list[str] | None,
        typer.Option("--region", help="Region of Geofabrik, such as `california`; may be given again."),
    ] = None,
    pbf: Annotated[Path | None, typer.Option("--pbf", help="A PBF or OSM XML file at hand.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the region in the workspace.")] = None,
    imagery: Annotated[
        str,
        typer.Option(help="`naip`; a folder of GeoTIFF or VRT files, or of 16_X_Y.webp, .png or .jpg; or `none`."),
    ] = NO_IMAGERY,
    year: Annotated[int | None, typer.Option(min=2003, help="With `naip`: of this year only.")] = None,
    attribution: Annotated[
        list[str] | None,
        typer.Option(help="Who is to be named for the data, besides OpenStreetMap; may be given again."),
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(help="`west,south,east,north`: `tile` keeps the tiles that meet it; so do image tiles."),
    ] = None,
    date: Annotated[str | None, typer.Option(help="With --region: Geofabrik's extract of a day, `2024-01-01`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")] = False,
    geofabrik_url: Annotated[str, typer.Option(help="A mirror, its index, or a copy of either at hand.")] = GEOFABRIK,
    stac_url: Annotated[str, typer.Option(help="With `naip`: another STAC API with such a collection.")] = STAC,
    json: options.Json = False,
) -> None:
    """Bring in a map extract and, optionally, aerial images.

    Example: geojepa fetch --pbf state-college.osm.pbf --name state-college
    """
    if bool(region) == (pbf is not None):
        raise UsageError("give either --region or --pbf", "geojepa fetch --pbf FILE --name NAME")
    if date is not None and pbf is not None:
        raise UsageError("--date is of Geofabrik's extracts", "geojepa fetch --region REGION --date 2024-01-01")
    if year is not None and imagery != NAIP:
        raise UsageError("--year is of NAIP imagery", "geojepa fetch --region REGION --imagery naip --year 2020")
    if date is not None:
        check_date(date)
    found = {NO_IMAGERY: None, NAIP: Naip(year, stac_url)}.get(imagery, Path(imagery))
    extras = Extras(found, tuple(attribution or ()), parse_bbox(bbox))
    workspace = options.workspace(ctx)
    if pbf is not None:
        sources: Iterable[Artifact | None] = [_fetch_file(workspace, pbf, name, extras, dry_run, json)]
    elif dry_run:
        say_plan(region or [], geofabrik_url, json, date, workspace.root / DOWNLOADS, extras, name)
        return
    else:
        sources = fetch_regions(workspace, region or [], name, extras, geofabrik_url, date)
    made = []
    for source in filter(None, sources):
        if json:
            made.append((source.ref, {"counts": source.manifest["counts"], "path": str(source.path)}))
        else:
            say(source)
    if made:
        console.emit_json_of("fetch", made)


def check_date(text: str) -> None:
    """UsageError where this is no day, before any server is asked for it."""
    try:
        if datetime.date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise UsageError(f"`--date {text}` is not a day such as 2024-01-01", hint="--date 2024-01-01")


def build_source(
    workspace: Workspace,
    pbf: Path,
    name: str,
    imagery: Path | Naip | None = None,
    attribution: Sequence[str] = (),
    bbox: Bbox | None = None,
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
    with workspace.build("source", name, params, [], STAGE_VERSION) as build:
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


def find_imagery(imagery: Path | Naip | None, extract: Extract, bbox: Bbox | None) -> Imagery | None:
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
        sources.append(build_source(workspace, path, name or region.short, *extras, link=own))
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


def say_plan(
    wanted: Sequence[str],
    index_url: str,
    json: bool,
    date: str | None,
    cache: Path,
    extras: Extras = Extras(),
    name: str | None = None,
) -> None:
    """What would be fetched; without a network, says so and still ends well."""
    from geojepa_cli.sources.download import OfflineError

    try:
        chosen = choose(wanted, index_url, date, cache)
    except OfflineError as error:
        if json:
            console.emit_json("fetch", None, {"reached": False, "regions": list(wanted), "reason": error.message})
            return
        names = ", ".join(f"`{region}`" for region in wanted)
        console.warn(f"no network: {error.message}")
        console.say(f"would look up {names} at {index_url} and download its .osm.pbf; nothing was fetched")
        console.say(f"with a network, run this again; without: {error.hint}")
        return
    check_plan(chosen, name, extras)
    plans = [(region, _ask(region.url)) for region in chosen]
    images = [plan_imagery(extras.imagery, extras.bbox or region.bounds) for region in chosen]
    if json:
        told = [{**_row(*plan), "imagery": found} for plan, found in zip(plans, images, strict=True)]
        console.emit_json("fetch", None, {"reached": True, "regions": told})
        return
    rows = [
        (region.id, region.name, _mebibytes(file.bytes), file.modified or "unknown", region.url)
        for region, file in plans
    ]
    known = [file.bytes for _, file in plans if file.bytes is not None]
    need = f"{_mebibytes(sum(known))} MiB of disk" + ("" if len(known) == len(plans) else " or more")
    caption = f"needs {need}; dry run: nothing was fetched"
    console.table("would be fetched", ["region", "name", "MiB", "from", "url"], rows, caption=caption)
    for region, found in zip(chosen, images, strict=True):
        if found is not None:
            console.say(f"{region.id}: {_told_imagery(found)}")


def plan_imagery(imagery: Path | Naip | None, box: Bbox | None) -> dict[str, Any] | None:
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


def _tiles_in(box: Bbox) -> int:
    from geojepa_cli.grid import tile_of

    west, south, east, north = box
    limit = 85.0  # of Web Mercator
    first, last = tile_of(west, min(north, limit), 16), tile_of(min(east, 179.9999), max(south, -limit), 16)
    return (last.x - first.x + 1) * (last.y - first.y + 1)


def _span(dates: Sequence[str]) -> list[str]:
    known = sorted(date for date in dates if date)
    return [known[0], known[-1]] if known else []


def _told_imagery(found: dict[str, Any]) -> str:
    if "reason" in found:
        return f"imagery: {found['reason']}"
    if not found["scenes"] and not found["images"]:
        return "imagery: none here (NAIP is of the United States); the map would go on without"
    what = f"{found['scenes']:,} scenes" if found["scenes"] else f"{found['images']:,} image tiles"
    dates = f" of {' to '.join(dict.fromkeys(found['dates']))}" if found["dates"] else ""
    most = "at most " if found["at_most"] else ""
    return f"imagery: {what}{dates}, {most}{_mebibytes(found['bytes'])} MiB of disk"


def say(source: Artifact) -> None:
    """What came in."""
    counts = source.manifest["counts"]
    rows = [("extract", f"{counts['bytes'] / 2**20:,.1f} MiB"), ("image tiles", f"{counts['images']:,}")]
    rows += [("scenes", f"{counts['scenes']:,}")] if "scenes" in counts else []
    rows += [("attribution", line) for line in source.manifest["attribution"]]
    console.table(f"source/{source.ref}", ["", ""], rows, caption=str(source.path))


def _fetch_file(
    workspace: Workspace,
    pbf: Path,
    name: str | None,
    extras: Extras,
    dry_run: bool,
    json: bool,
) -> Artifact | None:
    if name is None:
        hint = paste("geojepa", "fetch", "--pbf", str(pbf), "--name", legal_name(pbf.name.partition(".")[0]))
        raise UsageError("--pbf needs a --name for the region", hint)
    if not dry_run:
        return build_source(workspace, pbf, name, *extras)
    from geojepa_cli.sources.extract import inspect_extract

    check_name(name)
    extract = inspect_extract(pbf)
    found = plan_imagery(extras.imagery, extras.bbox or _box_of(extract, extras.imagery))
    if json:
        result = {"map": f"map{extract.suffix}", "bytes": extract.bytes, "sha256": extract.sha256}
        counts = {key: (found or {}).get(key, 0) for key in ("images", "scenes")}
        console.emit_json("fetch", None, {**result, **counts, "imagery": found})
    else:
        console.say(f"would copy `{pbf}` ({_mebibytes(extract.bytes)} MiB) as source/{name}")
        if found is not None:
            console.say(_told_imagery(found))
    return None


def _box_of(extract: Extract, imagery: Path | Naip | None) -> Bbox | None:
    """Of use for NAIP alone."""
    from geojepa_cli.sources.extract import extract_bounds

    return extract_bounds(extract) if isinstance(imagery, Naip) else None


def _ask(url: str) -> RemoteFile:
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


def _row(region: Region, file: RemoteFile) -> dict[str, Any]:
    return {"id": region.id, "name": region.name, "url": region.url, "bytes": file.bytes, "modified": file.modified}


def _mebibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**20:,.1f}"
