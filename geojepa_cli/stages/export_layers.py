"""Opens the rows and vectors of an export: tiles, entities, zoom-14 tiles, or areas of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.sources.extract_date import extract_date
from geojepa_cli.stages.export_options import ExportOptions
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.lineage import trace
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.export.features import ExportRegion, Features
    from geojepa_cli.export.vector_rows import VectorRows
    from geojepa_cli.sources.places import Places
    from geojepa_cli.sources.raw_table import RawTable
    from geojepa_cli.store.csr import Rows
    from geojepa_cli.store.tile_parts import TileParts


@dataclass(frozen=True)
class ExportLayer:
    """Rows of an export, with their vectors.

    Attributes:
        features: geometry and attributes.
        vectors: vectors before encoding.
        searched: vectors to which search spaces and principal components are fitted: those of the rows or, for zoom-14
            tiles and areas, those of the tiles of the regions, among which `knn` searches.
        counts: counts for the manifest.
        zoom: zoom of the tiles or zoom-14 tiles; None for entities and areas.
        chip_m: mean width of these tiles on the ground in metres; None for entities and areas.
        parts: name and width of each part of a vector; empty for entities, or if regions differ.
    """

    features: Features
    vectors: VectorRows
    searched: VectorRows
    counts: dict[str, Any] = field(default_factory=dict)
    zoom: int | None = None
    chip_m: float | None = None
    parts: TileParts = ()


@dataclass(frozen=True)
class AreaFile:
    """Polygons of a user's file.

    Attributes:
        table: the file.
        places: polygons in WGS84, and the rows of the file that have one.
    """

    table: RawTable
    places: Places

    def properties(self, areas: Rows) -> dict[str, list[Any]]:
        """Returns the properties of the given polygons by name. If a name occurs twice, the first column is used."""
        rows = self.places.rows[areas].tolist()
        columns = {name: self.table.column(name) for name in dict.fromkeys(self.table.names)}
        return {name: [values[row] for row in rows] for name, values in columns.items()}


def read_areas(options: ExportOptions) -> AreaFile | None:
    """Reads the polygons of the option `--area`. Returns None if it is not given.

    Raises:
        UsageError: the CRS is unknown, or the file has no locations.
        DataError: the file is damaged or empty, or has other geometries than polygons.
    """
    from geojepa_cli.sources.places import find_places
    from geojepa_cli.sources.raw_table import CORRECTED
    from geojepa_cli.sources.table_files import read_table

    if options.area is None:
        return None
    table = read_table(options.area, "area")
    if table.geometry is None:
        message = f"`{options.area}` has no geometries: expected polygons"
        raise DataError(message, hints.again(area="FILE.geojson"))
    places = find_places(_without_tile_column(table), options.crs)
    if places.kind != "polygons":
        raise DataError(f"`{options.area}` has {places.kind}: expected polygons", hints.again().noting(CORRECTED))
    return AreaFile(table, places)


def open_regions(regions: Sequence[Artifact], embeddings: Sequence[Artifact], column: str) -> list[ExportRegion]:
    """Opens regions with their embeddings, and checks the vectors.

    Args:
        regions, embeddings: `processed/` and `embeddings/` artifacts of the regions.
        column: column with the vectors: `tile/vector` or `entity/vector`.

    Raises:
        DataError: a file is damaged.
    """
    from geojepa_cli.export.features import ExportRegion
    from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
    from geojepa_cli.store.embeddings import Embeddings
    from geojepa_cli.store.reader import RegionStore

    with rebuilding(*regions, *embeddings):
        opened = [
            ExportRegion(
                region.name,
                Embeddings(made.file(EMBEDDINGS_FILE)),
                RegionStore(region.file(PROCESSED_FILE), region.name),
            )
            for region, made in zip(regions, embeddings, strict=True)
        ]
        for one in opened:
            one.vectors.check_source(one.store)
            one.vectors.check_vectors(column)
            if column == "entity/vector":
                one.store.check_geometry()
    return opened


def open_layer(options: ExportOptions, regions: Sequence[ExportRegion], file: AreaFile | None) -> ExportLayer:
    """Opens the rows of an export.

    Args:
        options: form of the export.
        regions: regions with embeddings.
        file: polygons of the option `--area`.

    Raises:
        DataError: no polygon lies in an embedded tile, or there is no entity.
        UsageError: the regions have tiles of different zooms, and areas are wanted.
    """
    from geojepa_cli.export.features import EntityFeatures, TileFeatures
    from geojepa_cli.export.vector_rows import StackedVectors
    from geojepa_cli.search.results import distinctive_tags
    from geojepa_cli.search.tag_counts import TagStatistics, tags_of_pieces

    if options.level == "entity":
        entities = EntityFeatures(regions)
        if not entities.count:
            raise DataError("there is no entity to export", hints.again(level="tile"))
        vectors = StackedVectors([region.vectors["entity/vector"] for region in regions])
        return ExportLayer(entities, vectors, vectors, {"rows": entities.count, "entities": entities.count})
    tiles = StackedVectors([region.vectors["tile/vector"] for region in regions])
    if options.level == "tile":
        zooms = {region.store.zoom for region in regions}
        zoom = zooms.pop() if len(zooms) == 1 else None
        statistics = TagStatistics([region.store for region in regions])
        features = TileFeatures(regions, lambda *pieces: distinctive_tags(tags_of_pieces(*pieces), statistics))
        counts = {"rows": tiles.count, "tiles": tiles.count}
        layer = ExportLayer(features, tiles, tiles, counts, zoom, _mean_width(regions))
    else:
        layer = _open_areas(options, regions, tiles, file)
    parts = {region.vectors.tile_parts for region in regions}
    return replace(layer, parts=parts.pop() if len(parts) == 1 else ())


def _open_areas(
    options: ExportOptions, regions: Sequence[ExportRegion], tiles: VectorRows, file: AreaFile | None
) -> ExportLayer:
    from geojepa_cli.export.areas import AreaFeatures, areas_of_groups, areas_of_polygons
    from geojepa_cli.export.vector_rows import PooledVectors
    from geojepa_cli.grid import GROUP_ZOOM

    counts: dict[str, Any] = {}
    if file is None:
        areas = areas_of_groups(regions)
        features = AreaFeatures(regions, areas)
    else:
        zooms = sorted({region.store.zoom for region in regions})
        if len(zooms) > 1:
            message = f"the regions have tiles of zooms {zooms[0]} and {zooms[1]}: areas need tiles of one zoom"
            raise UsageError(message, hints.again(region=[regions[0].name]))
        areas = areas_of_polygons(regions, file.places.geometry)
        outside = len(file.places.rows) - len(areas.rows)
        if not len(areas.rows):
            raise _outside(options, regions, file)
        if outside:
            console.warn(f"{console.counted(outside, 'area')} of `{options.area}` left out: no embedded tile in it")
        counts |= {"outside": outside, **{_key(what): count for what, count in file.places.counts.items()}}
        features = AreaFeatures(regions, areas, file.places.rows[areas.rows] + 1, file.properties(areas.rows))
    vectors = PooledVectors(tiles, areas.offsets, areas.tiles, areas.area_m2)
    counts = {
        "rows": features.count,
        f"{options.level}s": features.count,
        "tiles": len(set(areas.tiles.tolist())),
        **counts,
    }
    if file is not None:
        return ExportLayer(features, vectors, tiles, counts)
    return ExportLayer(features, vectors, tiles, counts, GROUP_ZOOM, _mean_width(regions, GROUP_ZOOM))


def _outside(options: ExportOptions, regions: Sequence[ExportRegion], file: AreaFile) -> DataError:
    import shapely

    from geojepa_cli.grid import tiles_bounds

    west, south, east, north = shapely.total_bounds(file.places.geometry).tolist()
    found = f"longitude {west:.4g} to {east:.4g}, latitude {south:.4g} to {north:.4g}"
    bounds = tiles_bounds(*regions[0].tiles().T)
    (left, lower), (right, upper) = bounds[:, :2].min(0).tolist(), bounds[:, 2:].max(0).tolist()
    names = ", ".join(f"`{region.name}`" for region in regions)
    message = f"no area of `{options.area}` lies in an embedded tile of {names}: they lie at {found}, the region at "
    message += f"longitude {left:.4g} to {right:.4g}, latitude {lower:.4g} to {upper:.4g}"
    hint = hints.again(crs="EPSG:CODE").noting("with the code of the CRS of the coordinates, or another `--region`")
    return DataError(message, hint)


def _mean_width(regions: Sequence[ExportRegion], zoom: int | None = None) -> float:
    """Returns the mean width of embedded tiles on the ground, or of the tiles of a lower zoom that contain them."""
    import numpy as np

    widths = [region.store["tile/east_m"][region.vectors["tile/row"]].astype(np.float64) for region in regions]
    if zoom is not None:
        widths = [part * 2.0 ** (region.store.zoom - zoom) for part, region in zip(widths, regions, strict=True)]
    return float(np.concatenate(widths).mean())


def _without_tile_column(table: RawTable) -> RawTable:
    """Returns a table whose locations are its geometries, even if it has a column `tile`."""
    from dataclasses import replace

    from geojepa_cli.sources.raw_table import TILE

    return replace(table, names=[name for name in table.names if name.strip().lower() != TILE])


def _key(text: str) -> str:
    return text.replace(" ", "_")


def dates_of(workspace: Workspace, regions: Sequence[Artifact], given: str | None) -> tuple[str, str] | None:
    """Returns the dates of the oldest and the newest map data of regions. None if the date of a region is unknown.

    Args:
        workspace: workspace with the artifacts.
        regions: `processed/` artifacts.
        given: date that the user gave; None to read the headers of the OSM files.
    """
    if given is not None:
        date = given if "T" in given else f"{given}T00:00:00Z"
        return date, date
    sources = {
        node.artifact.ref: node.artifact
        for region in regions
        for _, node in trace(workspace, region).walk()
        if node.artifact is not None and node.artifact.kind == "source"
    }
    files = [one.path / name for one in sources.values() for name in one.manifest["files"] if name.startswith("map.")]
    found = [extract_date(path) if path.is_file() else None for path in files]
    known = sorted(date for date in found if date is not None)
    return (known[0], known[-1]) if known and len(known) == len(found) else None
