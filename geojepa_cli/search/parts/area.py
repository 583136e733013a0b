"""Query part: an area, given by polygons in a file. Its vector is the mean vector of its tiles, weighted by area."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.grid import tiles_bounds
from geojepa_cli.search.neighbours import Level, tile_of_row
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.tag_counts import merged, tags_of_tile
from geojepa_cli.sources.places import find_places
from geojepa_cli.sources.raw_table import CORRECTED
from geojepa_cli.sources.table_files import read_table
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tasks.file_labels import areas_in_tiles

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_COVERED = 0.5  # share of an area below which a warning says how little of it is known
_MOST_DESCRIBED = 64  # tiles of an area whose tags explain results; those with the largest share come first


@dataclass(frozen=True)
class AreaPart:
    """An area as part of a query. The attributes are those of `QueryPart`; the text is the path of a file.

    The file has polygons: GeoJSON or GeoParquet. All of them together are one area. Its vector is Σ a · x / Σ a, with
    the vectors x of the embedded tiles and the areas a in m² that they share with it. Vectors of zeros are not counted.
    """

    text: str
    option: str = "--area"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "tile"
    has_place: bool = True

    def params(self) -> dict[str, object]:
        return {"area": _checksum(self.text, self.option), "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        area = read_area(Path(self.text))
        for store in stores:
            if len(_shared(area, np.stack([store[f"tile/{axis}"] for axis in "zxy"], 1).astype(np.int64))[0]):
                return
        raise _outside(self.text, [store.name for store in stores])

    def resolve(self, source: Source) -> Example:
        area = read_area(Path(self.text))
        found: list[tuple[int, int, float]] = []
        seen: set[tuple[int, ...]] = set()
        whole = 0.0
        for index, region in enumerate(source.regions):
            tiles = np.stack([region.vectors[f"tile/{axis}"] for axis in "zxy"], 1).astype(np.int64)
            rows, shared, size = _shared(area, tiles)
            whole = max(whole, size)
            for row, part in zip(rows.tolist(), shared.tolist(), strict=True):
                if (key := tuple(tiles[row].tolist())) not in seen:  # a tile in two regions counts once
                    seen.add(key)
                    found.append((index, row, part))
        if not found:
            raise _outside(self.text, [region.name for region in source.regions])
        weights = np.array([part for _, _, part in found])
        vectors = np.stack([source.regions[index].vectors["tile/vector"][row] for index, row, _ in found])
        counted = weights[vectors.any(axis=1)].sum()  # models return zeros for tiles without any input
        mean = (vectors.astype(np.float64) * weights[:, None]).sum(0) / (counted or 1.0)
        largest = sorted(found, key=lambda one: -one[2])[:_MOST_DESCRIBED]
        tags = merged([tags_of_tile(source.regions[index], row) for index, row, _ in largest])
        share = min(1.0, float(weights.sum()) / whole)
        note = f"mean of the embedded tiles, {len(found):,}, in which {share:.0%} of the area lies"
        inside = tuple(tile_of_row(source.regions[index].vectors, row) for index, row, _ in found)
        bounds = tiles_bounds(*np.array(inside).T)
        centres = zip(bounds[:, [0, 2]].mean(1).tolist(), bounds[:, [1, 3]].mean(1).tolist(), strict=True)
        warning = ""
        if share < LEAST_COVERED:
            shown = f"{100 * share:.0f}" if share >= 0.01 else "less than 1"
            warning = (
                f"only {shown} % of the area of `{Path(self.text).name}` has embedded tiles; the query is their mean"
            )
        unit = source.unit(mean)
        return Example(unit, places=tuple(centres), tags=tags, note=note, tiles=inside, warning=warning)


def read_area(path: Path) -> Any:
    """Returns the union of all polygons of a file in WGS84, as a shapely geometry.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is damaged, or has geometries that are not polygons.
    """
    import shapely

    places = find_places(read_table(path, "area"))
    if places.kind != "polygons":
        raise DataError(f"`{path}` has {places.kind}: expected polygons", hints.again().noting(CORRECTED))
    return shapely.union_all(places.geometry)


def _shared(area: Any, tiles: Rows) -> tuple[Rows, Floats, float]:
    """Returns the tiles that share an area with a polygon, these areas in m², and the area of the polygon."""
    import shapely

    west, south, east, north = shapely.bounds(area)
    bounds = tiles_bounds(*tiles.T)
    near = (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
    rows = np.flatnonzero(near)
    if not len(rows):
        return rows, np.empty(0), 0.0
    _, tile, shared, whole = areas_in_tiles(np.array([area], object), tiles[rows])
    order = np.argsort(tile, kind="stable")
    return rows[tile[order]], shared[order], float(whole[0])


def _outside(text: str, regions: Sequence[str]) -> NotFoundError:
    names = ", ".join(f"`{name}`" for name in regions[:4]) + (" …" if len(regions) > 4 else "")
    message = f"the polygons of `{text}` share no area with an embedded tile of {names}"
    return NotFoundError(message, hints.again(area="FILE"))


def _checksum(text: str, option: str) -> str:
    path = Path(text)
    if not path.is_file():
        raise NotFoundError(f"`{path}` is not a file", hints.instead((option, text), (option, "FILE")))
    return f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"
