"""Arguments of the command `fetch`, and checks of these arguments."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.sources.collections import COLLECTIONS, Collection
from geojepa_cli.sources.urls import GEOFABRIK_INDEX
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.workspace.kinds import check_name, legal_name

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds

NO_IMAGERY = "none"
EXAMPLE_DATE = "2024-01-01"


class ImageQuery(NamedTuple):
    """A search for aerial images on a STAC server.

    Attributes:
        collection: image collection to search, such as NAIP.
        year: year in which the images were taken; None for the newest image of each area.
        url: URL of the STAC API; None for the default API of the collection.
    """

    collection: Collection
    year: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class FetchOptions:
    """Unchecked arguments of the function `geojepa_cli.stages.fetch`. See the function for their meaning."""

    region: str | Sequence[str] | None = None
    pbf: str | Path | None = None
    name: str | None = None
    imagery: str | Path = NO_IMAGERY
    year: int | None = None
    attribution: str | Sequence[str] = ()
    bbox: Bounds | None = None
    date: str | None = None
    geofabrik_url: str | Path = GEOFABRIK_INDEX
    stac_url: str | None = None


class Request(NamedTuple):
    """Checked arguments of the command `fetch`.

    Attributes:
        regions: names of Geofabrik regions; empty if `pbf` is given.
        pbf: path of a local OpenStreetMap extract; None if `regions` is given.
        name: name of the region in the workspace; None for the last part of the Geofabrik id.
        imagery: folder of images, or a search for images on a server; None for a source without images.
        attribution: attribution lines, in addition to those for OpenStreetMap and the imagery.
        bbox: bounding box (west, south, east, north) in degrees; None for the whole extract.
        date: date of the Geofabrik extract; None for the latest.
        index_url: URL or path of the Geofabrik index.
    """

    regions: tuple[str, ...] = ()
    pbf: Path | None = None
    name: str | None = None
    imagery: Path | ImageQuery | None = None
    attribution: tuple[str, ...] = ()
    bbox: Bounds | None = None
    date: str | None = None
    index_url: str = GEOFABRIK_INDEX


def check_request(options: FetchOptions) -> Request:
    """Checks the arguments of `geojepa_cli.stages.fetch` and returns them as a `Request`.

    Raises:
        UsageError: an argument is missing or wrong, or arguments cannot be combined.
    """
    regions = () if options.region is None else tuple(check_texts("region", options.region))
    pbf = None if options.pbf is None else Path(options.pbf)
    name, imagery, year, date = options.name, options.imagery, options.year, options.date
    if bool(regions) == (pbf is not None):
        file = hints.run("fetch", pbf="FILE", name="NAME")
        raise UsageError(
            "exactly one of `--region` and `--pbf` is required", file.or_else(hints.run("fetch", region="REGION"))
        )
    if date is not None and pbf is not None:
        hint = hints.run("fetch", region="REGION", date=EXAMPLE_DATE)
        raise UsageError(
            "`--date` cannot be combined with `--pbf`: `--date` selects the version of a Geofabrik extract", hint
        )
    collection = COLLECTIONS.get(str(imagery))
    if year is not None and collection is None:
        raise UsageError(
            "`--year` applies only to imagery from a server, such as `--imagery naip`",
            hints.again(imagery="naip", year=year),
        )
    if date is not None:
        _check_date(date)
    if pbf is not None and name is None:
        raise UsageError(
            "`--pbf` requires `--name`, the name of the region",
            hints.again(name=legal_name(pbf.name.partition(".")[0])),
        )
    if name is not None:
        check_name(name)
    found = (
        ImageQuery(collection, year, options.stac_url)
        if collection
        else None
        if str(imagery) == NO_IMAGERY
        else Path(imagery)
    )
    attribution = tuple(check_texts("attribution", options.attribution))
    return Request(regions, pbf, name, found, attribution, options.bbox, date, str(options.geofabrik_url))


def _check_date(text: str) -> None:
    """Checks that a text is a date such as `2024-01-01`.

    Raises:
        UsageError: the text is not a date.
    """
    try:
        if datetime.date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise UsageError(
        f"`--date {text}` is not a date: expected a date such as {EXAMPLE_DATE}", hints.again(date=EXAMPLE_DATE)
    )
