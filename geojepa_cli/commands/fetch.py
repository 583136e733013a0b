"""`geojepa fetch`: brings a map extract, and image tiles, into the workspace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.options import parse_bbox
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import paste
from geojepa_cli.stages.source import (
    DOWNLOADS,
    GEOFABRIK,
    STAC,
    Extras,
    Naip,
    check_date,
    check_plan,
    choose,
    fetch_regions,
    make_source,
)
from geojepa_cli.stages.source_plan import ask_server, imagery_box, plan_imagery, region_row
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import check_name, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    pass

NO_IMAGERY, NAIP = "none", "naip"


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
        console.emit_json_each("fetch", made)


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
        console.print_line(f"would look up {names} at {index_url} and download its .osm.pbf; nothing was fetched")
        console.print_line(f"with a network, run this again; without: {error.hint}")
        return
    check_plan(chosen, name, extras)
    plans = [(region, ask_server(region.url)) for region in chosen]
    images = [plan_imagery(extras.imagery, extras.bbox or region.bounds) for region in chosen]
    if json:
        told = [{**region_row(*plan), "imagery": found} for plan, found in zip(plans, images, strict=True)]
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
            console.print_line(f"{region.id}: {_told_imagery(found)}")


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
        return make_source(workspace, pbf, name, *extras)
    from geojepa_cli.sources.extract import inspect_extract

    check_name(name)
    extract = inspect_extract(pbf)
    found = plan_imagery(extras.imagery, extras.bbox or imagery_box(extract, extras.imagery))
    if json:
        result = {"map": f"map{extract.suffix}", "bytes": extract.bytes, "sha256": extract.sha256}
        counts = {key: (found or {}).get(key, 0) for key in ("images", "scenes")}
        console.emit_json("fetch", None, {**result, **counts, "imagery": found})
    else:
        console.print_line(f"would copy `{pbf}` ({_mebibytes(extract.bytes)} MiB) as source/{name}")
        if found is not None:
            console.print_line(_told_imagery(found))
    return None


def _mebibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**20:,.1f}"
