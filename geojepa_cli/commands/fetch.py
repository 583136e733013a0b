"""`geojepa fetch`: imports an OpenStreetMap extract and, optionally, imagery, or street-level photos of a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts, print_path
from geojepa_cli.commands.tables.photos import emit_photo_plan, print_photo_plan
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.sources.collections import COLLECTIONS
from geojepa_cli.sources.urls import GEOFABRIK_INDEX
from geojepa_cli.stages.fetch_request import NO_IMAGERY
from geojepa_cli.stages.source_plan import FilePlan, ImageryPlan, RegionPlan
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

_SERVED = ", ".join(f"`{name}`" for name in COLLECTIONS)

Region = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Geofabrik region to download, such as `california`. Repeat for several regions. With --photos: "
        "region in the workspace.",
    ),
]
Pbf = Annotated[Path | None, typer.Option("--pbf", help="Local PBF or OSM XML file to import.")]
Name = Annotated[str | None, typer.Option("--name", help="Name for the region in the workspace.")]
Imagery = Annotated[
    str,
    typer.Option(
        help=f"Imagery to import: {_SERVED} (downloaded), a folder with GeoTIFFs, VRTs or image tiles "
        "(16_X_Y.webp, .png, .jpg), or `none`."
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        help="Import street-level photos of a region in the workspace: a folder with JPEG files that have a GPS "
        "place in their EXIF, or a table (.csv, .geojson, .parquet) with columns `file`, `lon`, `lat` and, "
        "optionally, `heading` and `field_of_view` in degrees.",
    ),
]
Crs = Annotated[
    str | None,
    typer.Option(help="With --photos TABLE: CRS of the coordinates, such as `EPSG:2248`. Default: that of the file."),
]
Year = Annotated[int | None, typer.Option(help=f"With --imagery {_SERVED}: use only images taken in this year.")]
Attribution = Annotated[
    list[str] | None,
    typer.Option(help="Attribution text to show after the attribution of OpenStreetMap. Repeat for several lines."),
]
Bbox = Annotated[
    str | None,
    typer.Option(help="Limit imagery and tiles to this bounding box: `west,south,east,north` in degrees."),
]
Date = Annotated[
    str | None, typer.Option(help="With --region: date of the extract, such as `2024-01-01`. Default: the newest.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the files that would be fetched, without fetching them.")
]
GeofabrikUrl = Annotated[str, typer.Option(help="URL or path of a mirror of Geofabrik, or of the mirror's index file.")]
StacUrl = Annotated[
    str | None, typer.Option(help=f"With --imagery {_SERVED}: URL of another STAC API that serves the same images.")
]


@example(pbf="state-college.osm.pbf", name="state-college")
def fetch(
    ctx: typer.Context,
    region: Region = None,
    pbf: Pbf = None,
    name: Name = None,
    imagery: Imagery = NO_IMAGERY,
    photos: Photos = None,
    crs: Crs = None,
    year: Year = None,
    attribution: Attribution = None,
    bbox: Bbox = None,
    date: Date = None,
    dry_run: DryRun = False,
    geofabrik_url: GeofabrikUrl = GEOFABRIK_INDEX,
    stac_url: StacUrl = None,
    json: options.Json = False,
) -> None:
    """Import an OpenStreetMap extract and, optionally, aerial imagery, or street-level photos of a region."""
    box = options.parse_bbox(bbox)
    workspace = options.workspace(ctx)
    if photos is not None or crs is not None:
        others = {"pbf": pbf, "name": name, "imagery": None if imagery == NO_IMAGERY else imagery, "year": year}
        _check_photos(photos, {**others, "bbox": bbox, "date": date, "stac_url": stac_url}, region or (), crs)
    if photos is not None:
        _fetch_photos(workspace, photos, region, crs, attribution or (), dry_run, json)
        return
    arguments = (workspace, region, pbf, name, imagery, year, attribution or (), box, date, geofabrik_url, stac_url)
    if dry_run:
        _dry_run(lambda: stages.plan_fetch(*arguments), region or (), geofabrik_url, json)
        return
    sources = stages.fetch(*arguments)
    if json:
        made = [(one.ref, {"counts": one.manifest["counts"], "path": str(one.path)}) for one in sources]
        console.emit_json_each("fetch", made)
        return
    for source in sources:
        _print_source(source)


def _check_photos(photos: Path | None, others: Mapping[str, object], region: Sequence[str], crs: str | None) -> None:
    """Checks that the given options can be combined with the options for photos.

    Raises:
        UsageError: an option for extracts or imagery is given, or `--crs` is given without `--photos`.
    """
    if photos is None:
        hint = hints.run("fetch", photos="FILE", crs=crs)
        raise UsageError("`--crs` requires `--photos`, a table with the places of photos", hint)
    given = [name for name, value in others.items() if value is not None]
    if given:
        message = (
            f"`--{given[0].replace('_', '-')}` cannot be combined with `--photos`, which adds photos to a region that "
            "is already in the workspace"
        )
        raise UsageError(message, hints.run("fetch", photos=photos, region=region[:1]))


def _fetch_photos(
    workspace: Workspace,
    photos: Path,
    region: list[str] | None,
    crs: str | None,
    attribution: Sequence[str],
    dry_run: bool,
    json: bool,
) -> None:
    if dry_run:
        plan = stages.plan_photos(workspace, photos, region, crs)
        (emit_photo_plan if json else print_photo_plan)(plan)
        return
    made = stages.fetch_photos(workspace, photos, region, crs, attribution)
    if json:
        console.emit_json("fetch", made.ref, {"counts": made.manifest["counts"], "path": str(made.path)})
        return
    print_counts(made)


def _print_source(source: Artifact) -> None:
    counts = source.counts
    rows = [("extract", f"{counts['bytes'] / 2**20:,.1f} MiB"), ("image tiles", f"{counts['images']:,}")]
    rows += [("scenes", f"{counts['scenes']:,}")] if "scenes" in counts else []
    rows += [("attribution", line) for line in source.attribution]
    console.table(source.full_ref, ["", ""], rows)
    print_path(source)


def _dry_run(
    make_plan: Callable[[], FilePlan | list[RegionPlan]], regions: Sequence[str], index_url: str, json: bool
) -> None:
    """Prints the files that `fetch` would download or copy. If the server cannot be reached, prints a warning."""
    from geojepa_cli.sources.http import OfflineError

    try:
        plans = make_plan()
    except OfflineError as error:
        _print_offline(regions, index_url, error, json)
    else:
        _print_plan(plans, json)


def _print_plan(plans: FilePlan | list[RegionPlan], json: bool) -> None:
    """Prints the files that `fetch` would download or copy."""
    if isinstance(plans, FilePlan):
        _print_file_plan(plans, json)
        return
    if json:
        rows = [{**_region_fields(plan), "imagery": _imagery_fields(plan.imagery)} for plan in plans]
        console.emit_json("fetch", None, {"reached": True, "regions": rows})
        return
    table = [
        (
            plan.region.id,
            plan.region.name,
            _mebibytes(plan.file.bytes),
            plan.file.modified or "unknown",
            plan.region.url,
        )
        for plan in plans
    ]
    known = [plan.file.bytes for plan in plans if plan.file.bytes is not None]
    need = f"{_mebibytes(sum(known))} MiB of disk" + ("" if len(known) == len(plans) else " or more")
    caption = f"needs {need}; dry run: nothing was fetched"
    console.table("would be fetched", ["region", "name", "MiB", "from", "url"], table, caption=caption)
    for plan in plans:
        if plan.imagery is not None:
            console.print_line(f"{plan.region.id}: {_describe_imagery(plan.imagery)}")


def _print_offline(regions: Sequence[str], index_url: str, error: GeojepaError, json: bool) -> None:
    if json:
        result = {"reached": False, "regions": list(regions), "reason": error.message}
        console.emit_json("fetch", None, result)
        return
    names = ", ".join(f"`{region}`" for region in regions)
    console.warn(f"no network: {error.message}", error.hint)
    console.print_line(f"would search `{index_url}` for {names} and download each extract; nothing was fetched")


def _print_file_plan(plan: FilePlan, json: bool) -> None:
    extract, imagery = plan.extract, plan.imagery
    if json:
        result = {"map": f"map{extract.suffix}", "bytes": extract.bytes, "sha256": extract.sha256}
        counts = {"images": imagery.images if imagery else 0, "scenes": imagery.scenes if imagery else 0}
        console.emit_json("fetch", None, {**result, **counts, "imagery": _imagery_fields(imagery)})
        return
    console.print_line(
        f"would copy `{extract.path}` ({_mebibytes(extract.bytes)} MiB) to the artifact `source/{plan.name}`"
    )
    if imagery is not None:
        console.print_line(_describe_imagery(imagery))


def _region_fields(plan: RegionPlan) -> dict[str, Any]:
    region, file = plan.region, plan.file
    return {"id": region.id, "name": region.name, "url": region.url, "bytes": file.bytes, "modified": file.modified}


def _imagery_fields(plan: ImageryPlan | None) -> dict[str, Any] | None:
    if plan is None or plan.reason is not None:
        return plan and {"reason": plan.reason}
    fields = plan._asdict()
    del fields["reason"]
    return {**fields, "dates": list(plan.dates)}


def _describe_imagery(plan: ImageryPlan) -> str:
    if plan.reason is not None:
        return f"imagery: {plan.reason}"
    if not plan.scenes and not plan.images:
        areas = ", ".join(f"{one.title} covers {one.area}" for one in COLLECTIONS.values())
        return f"imagery: not available for this area ({areas})"
    what = console.counted(plan.scenes, "scene") if plan.scenes else console.counted(plan.images, "image tile")
    dates = f" of {' to '.join(dict.fromkeys(plan.dates))}" if plan.dates else ""
    most = "at most " if plan.at_most else ""
    return f"imagery: {what}{dates}, {most}{_mebibytes(plan.bytes)} MiB of disk"


def _mebibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**20:,.1f}"
