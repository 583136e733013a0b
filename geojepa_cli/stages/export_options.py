"""Options of `export`: checks them before any long work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.spaces import DEFAULT_FORM, Form
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.durable import file_sha256

LEVELS = ("tile", "entity", "group")
FORMATS = ("geoparquet", "gpkg", "fgb")
MODEL_FORMAT = "model"
DTYPES = ("float32", "float16", "int8")
LISTS = ("fixed", "variable")
NAMES = {"tile": "tiles", "entity": "entities", "group": "groups", "area": "areas"}
SUFFIXES = {"geoparquet": "parquet", "gpkg": "gpkg", "fgb": "fgb"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")


@dataclass(frozen=True)
class ExportOptions:
    """Form of exported vectors.

    Attributes:
        level: `tile`, `entity`, `group` or `area`.
        format: `geoparquet`, `gpkg` or `fgb`.
        dtype: `float32`, `float16` or `int8`.
        dimensions: number of principal components; None for all dimensions.
        space: form of the search space to which the vectors are mapped; `raw`: they stay as they are.
        list_: `fixed` or `variable`: type of the lists in a Parquet file.
        no_vectors: leave out the vectors, keep colours.
        area: file with polygons; None for the other levels.
        crs: CRS of the polygons; None for the CRS that the file states.
        date: date of the map data; None for the date in the OSM file.
        seed: random seed of the queries that measure the loss, and of the sample that principal components are made of.
    """

    level: str = "tile"
    format: str = "geoparquet"
    dtype: str = "float32"
    dimensions: int | None = None
    space: Form = "raw"
    list_: str = "fixed"
    no_vectors: bool = False
    area: Path | None = None
    crs: str | None = None
    date: str | None = None
    seed: int = 0

    @property
    def file(self) -> str:
        """Name of the file with the vectors, such as `tiles.parquet`."""
        return f"{NAMES[self.level]}.{SUFFIXES[self.format]}"

    @property
    def has_colours(self) -> bool:
        """True if the file has colours made from principal components."""
        return self.format != "geoparquet"

    def params(self) -> dict[str, Any]:
        """Returns the parameters of the artifact. The seed is one of them only if it can change the result."""
        found: dict[str, Any] = {"level": self.level, "format": self.format, "dtype": self.dtype}
        found |= {"dimensions": self.dimensions} if self.dimensions is not None else {}
        found |= {"space": self.space} if self.space != "raw" else {}
        found |= {"list": self.list_} if self.format == "geoparquet" else {}
        found |= {"no_vectors": True} if self.no_vectors else {}
        found |= {"area": file_sha256(self.area), "crs": self.crs} if self.area is not None else {}
        measured = self.dtype != "float32" or self.dimensions is not None or self.has_colours
        return found | ({"seed": self.seed} if measured else {})


def default_form(dimensions: int | None) -> Form:
    """Returns the search space to which vectors are mapped by default.

    Vectors of fewer dimensions are for searches: they cannot be balanced after the projection.
    """
    return "raw" if dimensions is None else DEFAULT_FORM


def check_export_options(options: ExportOptions, level_given: bool, alpha: float = 0.0) -> None:
    """Checks options that do not depend on the workspace.

    Args:
        options: the options.
        level_given: True if the user chose a level.
        alpha: weight of the entity alone in the vectors of entities.

    Raises:
        UsageError: an option has an unknown value, or options cannot be combined.
        NotFoundError: the file with polygons does not exist.
    """
    levels = (*LEVELS, "area") if options.area is not None else LEVELS
    for option, value, expected in (
        ("level", options.level, levels),
        ("format", options.format, (*FORMATS, MODEL_FORMAT)),
        ("dtype", options.dtype, DTYPES),
        ("list", options.list_, LISTS),
    ):
        if value not in expected:
            known = ", ".join(f"`{one}`" for one in expected if one != "area")
            again = hints.again(**{option: expected[0]})
            raise UsageError(f"`--{option} {value}`: expected {known}", again)
    if options.format == MODEL_FORMAT:
        message = "`export` writes vectors; `export_model` writes a model"
        raise UsageError(message, hints.run("export", format=MODEL_FORMAT))
    if options.level != "entity" and alpha:
        message = "`--alpha` requires `--level entity`: it only changes vectors of entities"
        raise UsageError(message, hints.again(level="entity") if options.area is None else hints.again(alpha=0))
    if options.area is not None and level_given:
        raise UsageError("`--area` cannot be combined with `--level`", _without("level"))
    if options.format == "geoparquet" and options.no_vectors:
        message = "`--no-vectors` cannot be combined with `--format geoparquet`: it is for maps in QGIS"
        raise UsageError(message, hints.again(format="gpkg"))
    if options.format != "geoparquet" and options.list_ != "fixed":
        raise UsageError("`--list` is only for `--format geoparquet`", hints.again(format="geoparquet"))
    if options.crs is not None and options.area is None:
        raise UsageError("`--crs` requires `--area`", hints.again(area="FILE.geojson"))
    if options.date is not None and not _DATE.fullmatch(options.date):
        raise UsageError(
            f"`--date {options.date}`: expected a date such as `2024-07-03`", hints.again(date="2024-07-03")
        )
    if options.area is not None:
        _check_file(options.area)


def _check_file(path: Path) -> None:
    from geojepa_cli.sources.table_files import GEOJSON, PARQUET

    if not path.is_file():
        raise NotFoundError(f"`{path}` is not a file", hints.again(area="FILE.geojson"))
    if path.suffix.lower() not in (*GEOJSON, *PARQUET):
        message = f"`{path}` has an unknown format: expected polygons as GeoJSON (.geojson) or GeoParquet (.parquet)"
        raise UsageError(message, hints.again(area="FILE.geojson"))


def _without(option: str) -> Hint:
    running = hints.running()
    given = next((one for one in running.options if one[0] == f"--{option}"), None) if running else None
    return hints.instead(given) if given else hints.again()
