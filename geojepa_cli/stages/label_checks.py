"""Checks of a file with labels: missing values, values that are too large, wrong zoom levels, and wrong places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.console import counted
from geojepa_cli.errors import DataError
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.sources.places import Places
    from geojepa_cli.sources.raw_table import RawTable
    from geojepa_cli.tasks.file_labels import ValuesAtPlaces

MAX_MISSING = 0.5  # largest share of rows without a value


def check_values(table: RawTable, name: str, values: Any) -> None:
    """Checks that enough rows have a value, and that no value is too large for float32.

    Args:
        table: table with the values.
        name: column with the values.
        values: values of all rows, float64, NaN if missing.

    Raises:
        DataError: more than half of the values are missing, or a value is too large.
    """
    import numpy as np

    from geojepa_cli.tasks.label_spec import MAX_LABEL

    missing = int(np.isnan(values).sum())
    if missing > MAX_MISSING * len(values):
        raise DataError(
            f"{missing:,} of {len(values):,} rows of `{table.path}` have no value in `{name}`: "
            f"expected at most {MAX_MISSING:.0%}",
            hints.again().noting("after these rows are removed from the file, or with another `--label`"),
        )
    for row in np.flatnonzero(np.abs(values) > MAX_LABEL)[:1].tolist():
        raise table.wrong(row, f"`{name}` is {values[row]:g}: expected at most {MAX_LABEL:g}")


def check_zoom(path: Path, places: Places, zoom: int, region: str) -> None:
    """Checks that the tiles in a file have the same zoom level as the tiles of a region.

    Raises:
        DataError: a tile in the file has another zoom level.
    """
    other = sorted({int(z) for z in places.tiles[:, 0]} - {zoom})
    if other:
        message = f"`{path}` has tiles of zoom {other[0]}, but those of the region `{region}` have zoom {zoom}"
        raise DataError(message, hints.run("tile", region=region, zoom=other[0]).noting("then `process`"))


def check_inside(path: Path, values: ValuesAtPlaces, regions: Sequence[Artifact], used: Sequence[int]) -> None:
    """Checks that every region has at least one row of the file in its tiles.

    Args:
        path: path of the file.
        values: values of the rows, and their places.
        regions: `processed/` artifacts of the regions.
        used: for each region, the number of rows that lie in its tiles.

    Raises:
        DataError: a region has no row in its tiles.
    """
    outside = [one for one, rows in zip(regions, used, strict=True) if not rows]
    if not outside:
        return
    inside = [one.name for one in regions if one not in outside]
    if inside:
        names = ", ".join(f"`{one.name}`" for one in outside)
        raise DataError(f"no row of `{path}` lies in a tile of {names}", hints.again(region=inside))
    rows = counted(len(values.values), "row")
    if values.places.kind == "tiles":
        first = "_".join(map(str, values.places.tiles[0].tolist()))
        message = f"none of the {rows} of `{path}` is a tile of `{outside[0].name}`; the first is `{first}`"
        raise DataError(message, hints.again(region="OTHER"))
    found, bounds = _extent(values), _bounds(outside[0])
    message = f"none of the {rows} of `{path}` lies in a tile of `{outside[0].name}`: they lie at {_text(found)}"
    message += f", the region at {_text(bounds)}"
    if _overlap((found[1], found[0], found[3], found[2]), bounds) and not _overlap(found, bounds):
        raise DataError(f"{message}; longitude and latitude seem to be swapped", hints.again().noting("after swapping"))
    hint = hints.again(crs="EPSG:CODE").noting("with the code of the CRS of the coordinates, or another `--region`")
    raise DataError(message, hint)


def _extent(values: ValuesAtPlaces) -> tuple[float, float, float, float]:
    import shapely

    west, south, east, north = shapely.total_bounds(values.places.geometry).tolist()
    return west, south, east, north


def _bounds(processed: Artifact) -> tuple[float, float, float, float]:
    """Returns the bounds (west, south, east, north) of the tiles of a region, in degrees."""
    from geojepa_cli.store.store import TileStore

    boxes = TileStore.open([processed.file(PROCESSED_FILE)], names=[processed.name]).tile_bounds()
    (west, south), (east, north) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return west, south, east, north


def _text(box: tuple[float, float, float, float]) -> str:
    return f"longitude {box[0]:.4g} to {box[2]:.4g}, latitude {box[1]:.4g} to {box[3]:.4g}"


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first[0] <= second[2] and second[0] <= first[2] and first[1] <= second[3] and second[1] <= first[3]
