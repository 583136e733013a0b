"""Options of searches: the parts of a query, what is searched, and what is left out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli.config.spaces import FORMS


class Format(StrEnum):
    """Forms in which `geojepa knn` prints its result."""

    TABLE = "table"
    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"


Tile = Annotated[
    str | None,
    typer.Option("--tile", help="Find tiles similar to this one, given as zoom_x_y (for example 16_18052_25957)."),
]
Entity = Annotated[
    str | None, typer.Option("--entity", help="Find OSM elements similar to this one (for example way/123).")
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text", help="Find tiles or OSM elements by English words, for example `school next to a motorway`."
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="Find tiles similar to the one at this place, given as LON,LAT, or to the nearest one. With a GAIR model: "
        "find OSM elements that look similar to this point in the image; if there is no image, by the location alone.",
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        help="GeoJSON file with drawn entities, which have OSM tags as properties. They are encoded as a tile or, with "
        "`--level entity`, as an OSM element.",
    ),
]
Area = Annotated[
    Path | None,
    typer.Option("--area", help="File with polygons. Finds tiles similar to the mean of the tiles in them."),
]
Photo = Annotated[
    Path | None,
    typer.Option(
        "--photo",
        help="JPEG, PNG or WebP file. With a GAIR model that was trained with photos: find OSM elements where the "
        "image looks similar, and the most similar photos of `fetch --photos`. Its place in EXIF is not used.",
    ),
]
Level = Annotated[
    str | None,
    typer.Option("--level", help="What to find with `--text` or `--draw`: `tile` (default) or `entity`."),
]
Like = Annotated[
    list[str] | None,
    typer.Option("--like", help="Tile or OSM element that results shall also resemble. Repeat for several."),
]
Unlike = Annotated[
    list[str] | None,
    typer.Option("--unlike", help="Tile or OSM element that results must not resemble. Repeat for several."),
]
Weight = Annotated[
    list[float] | None,
    typer.Option(
        "--weight",
        help="Weight of a part of the query. Repeat it for each part, in this order: `--tile`, `--entity`, `--at`, "
        "`--text`, `--draw`, `--area`, `--photo`, each `--like`, each `--unlike`. Default: 1 for all.",
    ),
]
Count = Annotated[int, typer.Option("--k", help="Number of similar tiles or elements to find, 1 to 1000.")]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Region to search. Repeat for several regions. Default: all regions for which `geojepa process` has "
        "computed text embeddings of tags.",
    ),
]
FromRegion = Annotated[
    list[str] | None,
    typer.Option(
        "--from-region",
        help="Region that contains the tiles or elements of the query, if it is not one of the searched regions. "
        "Repeat for several regions.",
    ),
]
Space = Annotated[
    str,
    typer.Option("--space", help=f"Form in which vectors are compared: {', '.join(f'`{one}`' for one in FORMS)}."),
]
ExcludeSameGroup = Annotated[
    bool,
    typer.Option("--exclude-same-group", help="Leave out results inside the zoom-14 tile that contains the query."),
]
MinDistance = Annotated[
    float, typer.Option("--min-distance-km", help="Leave out results closer to the query than this, in km.")
]
Html = Annotated[bool, typer.Option("--html", help="Also make an HTML page with a map of each result.")]
Output = Annotated[Format, typer.Option("--format", help="Form of the printed result. The artifact has all files.")]
