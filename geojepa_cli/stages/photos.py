"""Stage `photos/`: imports street-level photos of a region."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.stages.rebuild import input_refs, texts
from geojepa_cli.stages.stage import Stage, as_command, find_regions
from geojepa_cli.stages.tiles import map_file
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import write_durably
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.sources.photo_choice import Chosen, Dropped
    from geojepa_cli.sources.photo_files import PhotoList

FILE, DROPPED_FILE = "photos.h5", "dropped.json"
UNKNOWN = "photos: attribution unknown"
_SHOWN = 5  # names of photos in a message
# reason in the counts of the manifest -> description of one photo, of several photos
REASONS = {
    "no_gps": ("has no GPS place in its EXIF", "have no GPS place in their EXIF"),
    "damaged_exif": ("has damaged EXIF", "have damaged EXIF"),
    "invalid_gps": ("has an invalid GPS place", "have an invalid GPS place"),
    "zero_place": ("is at 0° N 0° E, which stands for no place", "are at 0° N 0° E, which stands for no place"),
    "no_place": ("has no place in the table", "have no place in the table"),
    "no_file": ("has no readable file", "have no readable file"),
    "outside": ("lies outside the region", "lie outside the region"),
    "undecodable": ("cannot be decoded", "cannot be decoded"),
    "too_large": ("is too large to be decoded", "are too large to be decoded"),
    "too_small": ("is too small", "are too small"),
    "duplicate": ("is a copy of another photo at the same place", "are copies of other photos at the same place"),
}


def _rebuild(remains: Remains) -> Hint:
    given = "FILE" if remains.params.get("table") else "DIR"
    region = (input_refs(remains, "source") or [remains.name])[0]
    lines = texts(remains.params.get("attribution"))
    return hints.run("fetch", photos=given, region=region, attribution=lines)


PHOTOS = Stage("photos", version=1, rebuild=_rebuild, made_from="source", of_region=True, files=(FILE, DROPPED_FILE))


class PhotoPlan(NamedTuple):
    """The photos that `fetch --photos` would import.

    Attributes:
        region: `source/` artifact of the region.
        read: number of photos that were given.
        dropped: photos that would be left out.
        other: number of images in formats that are ignored.
    """

    region: Artifact
    read: int
    dropped: list[Dropped]
    other: int


@as_command("fetch")
def fetch_photos(
    workspace: Workspace,
    photos: str | Path,
    region: str | Artifact | Sequence[str | Artifact] | None = None,
    crs: str | None = None,
    attribution: str | Sequence[str] = (),
) -> Artifact:
    """Imports street-level photos into a region of the workspace.

    A photo needs a place in the bounding box of the region. Photos without one, damaged files and copies are left out.
    They are counted by reason, and the file `dropped.json` names each of them. Photos are turned upright, cropped to a
    square and resized to 224 × 224 px. Of their metadata, only place, heading and field of view are kept.

    Args:
        workspace: workspace to publish to.
        photos: folder with JPEG files, which have their places in EXIF; or a CSV, GeoJSON or (Geo)Parquet file with
            paths and places of JPEG, PNG or WebP files.
        region: name of a region, or its artifact. Default: the only region in the workspace.
        crs: CRS of the coordinates in a table, such as `EPSG:2248`. Default: the CRS that the table states.
        attribution: attribution lines of the photos, in addition to those in the `ATTRIBUTION.txt` of the folder.

    Returns:
        The `photos/` artifact.

    Raises:
        UsageError: an argument is not valid, or the table has no column with paths or places.
        NotFoundError: there is no such folder, table or region.
        DataError: the table is damaged, or no photo can be used.
    """
    source, found = _find(workspace, photos, region, crs)
    lines = list(dict.fromkeys([*found.attribution, *check_texts("attribution", attribution)]))
    with console.progress(f"read {Path(photos).name}") as meter:
        digest = found.sha256(meter.update)
    params = {"photos": digest, "table": found.is_table, "attribution": lines}
    _warn_of_other_formats(found.other, Path(photos))

    def write(build: Build) -> Artifact:
        from geojepa_cli.sources.photo_choice import Chosen
        from geojepa_cli.store.photos import write_photos

        build.clear()
        with console.progress("decode photos") as meter:
            chosen = Chosen(found.photos, _boxes(source), meter.update)
            kept = write_photos(build.partial / FILE, chosen)
        if not kept:
            raise _nothing_left(chosen, Path(photos), source)
        _warn_of_dropped(chosen)
        if not lines:
            console.warn(f"`{photos}` has no attribution: the origin is unknown", hints.again(attribution="TEXT"))
        rows = [one._asdict() for one in chosen.dropped]
        write_durably(build.partial / DROPPED_FILE, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        extra = {"crs": "EPSG:4326", "units": {"heading": "degree", "field_of_view": "degree"}}
        return build.publish(_counts(build.partial / FILE, chosen), lines or [UNKNOWN], extra)

    return PHOTOS.make(workspace, source.name, params, [source], write)


@as_command("fetch")
def plan_photos(
    workspace: Workspace,
    photos: str | Path,
    region: str | Artifact | Sequence[str | Artifact] | None = None,
    crs: str | None = None,
) -> PhotoPlan:
    """Returns what `fetch_photos` would import with the same arguments. Decodes all photos, and publishes nothing."""
    from geojepa_cli.sources.photo_choice import Chosen

    source, found = _find(workspace, photos, region, crs)
    with console.progress("decode photos") as meter:
        chosen = Chosen(found.photos, _boxes(source), meter.update)
        for _ in chosen:
            pass
    return PhotoPlan(source, len(found.photos), chosen.dropped, found.other)


def dropped_counts(dropped: Sequence[Dropped]) -> dict[str, int]:
    """Returns the number of dropped photos by reason, in the order of `REASONS`, without reasons that do not occur."""
    found = Counter(one.reason for one in dropped)
    return {reason: found[reason] for reason in REASONS if found[reason]}


def _find(
    workspace: Workspace, photos: str | Path, region: str | Artifact | Sequence[str | Artifact] | None, crs: str | None
) -> tuple[Artifact, PhotoList]:
    """Returns the `source/` artifact of the region, and the photos that the user gave."""
    from geojepa_cli.sources.photo_files import list_photos

    sources = find_regions(workspace, "source", region)
    if len(sources) > 1:
        names = ", ".join(f"`{one.name}`" for one in sources)
        message = f"`--photos` can be used with one region at a time, got {names}"
        raise UsageError(message, hints.run("fetch", photos=photos, region=sources[0].name))
    return sources[0], list_photos(Path(photos), crs)


def _boxes(source: Artifact) -> list[Bounds]:
    """Returns the bounding boxes of a region: that of `fetch --bbox`, otherwise those of its extract."""
    from geojepa_cli.sources.extract import Extract, extract_bounds, header_boxes

    given = source.params.get("bbox")
    if given:
        west, south, east, north = map(float, given)
        return [(west, south, east, north)]
    path = map_file(source)
    try:
        extract = Extract(path, path.name.removeprefix("map"), "", path.stat().st_size)
        return header_boxes(extract) or [extract_bounds(extract)]
    except DataError as error:
        raise source.broken(error.message) from error
    except RuntimeError as error:  # of osmium
        raise source.broken(f"`{path}` cannot be read: {error}") from error


def _counts(path: Path, chosen: Chosen) -> dict[str, object]:
    import numpy as np

    from geojepa_cli.store.photos import PhotoStore

    store = PhotoStore(path)
    counts: dict[str, object] = {
        "photos": len(store),
        "read": len(chosen.photos),
        "with_heading": int((~np.isnan(store.heading)).sum()),
        "with_field_of_view": int((~np.isnan(store.field_of_view)).sum()),
    }
    magnetic = {"magnetic_headings": chosen.magnetic} if chosen.magnetic else {}
    return {**counts, **magnetic, "dropped": dropped_counts(chosen.dropped)}


def _describe(reason: str, dropped: Sequence[Dropped]) -> str:
    """Returns a sentence about the photos that were dropped for one reason, with some of their names."""
    found = [one for one in dropped if one.reason == reason]
    one, several = REASONS[reason]
    names = [f"`{photo.file}`" + (f" ({photo.detail})" if photo.detail else "") for photo in found[:_SHOWN]]
    listed = ", ".join([*names, *(["…"] if len(found) > _SHOWN else [])])
    return f"{console.counted(len(found), 'photo')} {one if len(found) == 1 else several}: {listed}"


def _warn_of_dropped(chosen: Chosen) -> None:
    for reason in dropped_counts(chosen.dropped):
        console.warn(f"left out: {_describe(reason, chosen.dropped)}")


def _warn_of_other_formats(count: int, folder: Path) -> None:
    if count:
        what = console.counted(count, "image is ignored", "images are ignored")
        console.warn(f"`{folder}`: {what}, because only JPEG files have their place read from EXIF")


def _nothing_left(chosen: Chosen, path: Path, source: Artifact) -> DataError:
    """Returns the error for a folder or table of which no photo can be used."""
    from geojepa_cli.sources.extract import format_box

    reasons = dropped_counts(chosen.dropped)
    what = "; ".join(_describe(reason, chosen.dropped) for reason in reasons)
    message = f"none of the {console.counted(len(chosen.photos), 'photo')} of `{path}` can be used: {what}"
    if "outside" in reasons:
        boxes = " and ".join(format_box(box) for box in chosen.boxes[:3])
        message += f"; the region `{source.name}` covers {boxes}"
        return DataError(message, hints.again(region="OTHER"))
    return DataError(message, hints.again(dry_run=True, json=True).noting("lists every photo with its reason"))
