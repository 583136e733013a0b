"""Writes the files of a heatmap: GeoTIFF, PNG, HTML page and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.heatmap_query import HeatQuery, HeatVector
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.evaluate.heatmaps import Heat, HeatSummary
    from geojepa_cli.export.heat_raster import HeatGrid
    from geojepa_cli.grid import TileId
    from geojepa_cli.models.base import PointReader
    from geojepa_cli.store.images import ImageStore

JSON_FILE, TIFF_FILE, PNG_FILE, PAGE_FILE = (f"heatmap.{kind}" for kind in ("json", "tif", "png", "html"))
PEAKS = 10  # tiles in the list of the most similar points
OVERVIEW_PX = 1600  # maximum width and height of the PNG file's map and of the page's map
READ_FROM = {
    "tags": "the element's tags",
    "image": "the image at the query",
    "location": "the location of the query, which has no image",
    "photo": "the photo",
}


@dataclass(frozen=True)
class Drawn:
    """Tiles of a heatmap.

    Attributes:
        region: `processed/` artifact.
        images: `images/` artifact of the region, or None.
        by_image: True: read points from images. False: compute them from longitude and latitude.
        side: number of points along one side of a tile.
        most_pixels: maximum number of pixels of the raster.
    """

    region: Artifact
    images: Artifact | None
    by_image: bool
    side: int
    most_pixels: int


@dataclass(frozen=True)
class _Tiles:
    """Tiles to compute, from north-west to south-east; rows of their images; and all images with their tiles."""

    tiles: list[TileId]
    rows: list[int]
    images: ImageStore | None
    shown: list[TileId]
    shown_rows: list[int]


def write_heatmap(
    folder: Path,
    drawn: Drawn,
    reader: PointReader,
    query: HeatQuery,
    found: HeatVector,
    about: Mapping[str, str],
    credits: Sequence[str],
    device: str,
) -> int:
    """Writes all files of a heatmap. Returns the number of tiles with values.

    Args:
        folder: folder to write to.
        drawn: tiles of the heatmap.
        reader: the opened model.
        query, found: query, and its vector.
        about: `model`, `region` and `by`, for the metadata of the files.
        credits: attribution lines.
        device: device of the model.

    Raises:
        UsageError: the raster has too many pixels.
        DataError: no tile has an image.
    """
    from geojepa_cli.evaluate.heatmaps import HeatSummary, similarity_in_images, similarity_of_locations
    from geojepa_cli.export.heat_raster import HeatGrid, write_heat

    chosen = _find_tiles(drawn)
    grid = HeatGrid.around(chosen.tiles, drawn.side)
    _check_size(grid, drawn)
    summary, on = HeatSummary(PEAKS), pick_device(device)
    if drawn.by_image:
        assert chosen.images is not None
        heats = similarity_in_images(reader, found.vector, chosen.images, chosen.rows, drawn.side, on)
    else:
        heats = similarity_of_locations(reader, found.vector, chosen.tiles, drawn.side, on)
    title = f"cosine similarity to {query.title}"
    with console.progress(f"map the similarity to {query.title}", len(chosen.tiles)) as meter:

        def counted() -> Iterator[tuple[TileId, Heat]]:
            for number, (tile, heat) in enumerate(zip(chosen.tiles, heats, strict=True), start=1):
                summary.add(tile, heat)
                yield tile, heat
                meter.update(number)

        write_heat(folder / TIFF_FILE, grid, counted(), title, {**about, "query": query.title})
    content = _content(query, found, drawn, grid, summary, about, len(chosen.tiles), credits)
    (folder / JSON_FILE).write_text(console.to_json(content, indent=1) + "\n", encoding="utf-8")
    _draw(folder, drawn, chosen, grid, query, found, content, credits)
    return len(chosen.tiles)


def _find_tiles(drawn: Drawn) -> _Tiles:
    import numpy as np

    from geojepa_cli.grid import TileId
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    store = RegionStore(drawn.region.file(PROCESSED_FILE), drawn.region.name)
    images = ImageStore(drawn.images.file(IMAGES_FILE), any_form=not drawn.by_image) if drawn.images else None
    shown_rows: list[int] = []
    if images is not None:
        z, x, y = images.zxy.T
        order = np.lexsort((x, y))
        shown_rows = order[z[order] == store.zoom].tolist()
    shown = [TileId(*map(int, images.zxy[row])) for row in shown_rows] if images is not None else []
    if drawn.by_image:
        if not shown:
            hint = hints.run("tile", region=drawn.region.name, imagery="drawn")
            raise DataError(f"no tile of region `{drawn.region.name}` has an image", hint)
        return _Tiles(shown, shown_rows, images, shown, shown_rows)
    x, y = (store[f"tile/{axis}"].astype(np.int64) for axis in "xy")
    tiles = [TileId(store.zoom, int(x[row]), int(y[row])) for row in np.lexsort((x, y)).tolist()]
    if not tiles:
        raise DataError(f"region `{drawn.region.name}` has no tile", hints.run("tile", region=drawn.region.name))
    return _Tiles(tiles, [], images, shown, shown_rows)


def _check_size(grid: HeatGrid, drawn: Drawn) -> None:
    pixels = grid.width * grid.height
    if pixels > drawn.most_pixels:
        message = f"the raster would have {grid.width:,} × {grid.height:,} pixels, more than {drawn.most_pixels:,}: "
        message += f"the tiles of `{drawn.region.name}` are spread over {grid.columns:,} × {grid.rows:,} tiles"
        coarser = _ground_m(grid) * 1.1 * (pixels / drawn.most_pixels) ** 0.5
        raise UsageError(message, hints.again(resolution=f"{coarser:.0f}"))


def _ground_m(grid: HeatGrid) -> float:
    """Returns the distance of neighbouring points on the ground in the middle of the raster, in metres."""
    from geojepa_cli.grid import ground_size

    return ground_size(grid.zoom, grid.column, grid.row + grid.rows // 2)[0] / grid.side


def _content(
    query: HeatQuery,
    found: HeatVector,
    drawn: Drawn,
    grid: HeatGrid,
    summary: HeatSummary,
    about: Mapping[str, str],
    tiles: int,
    credits: Sequence[str],
) -> dict[str, Any]:
    """Returns the content of `heatmap.json`."""
    from geojepa_cli.search.results import point_url

    peaks: list[dict[str, Any]] = [
        {"rank": rank, "score": score, "lon": round(lon, 7), "lat": round(lat, 7), "tile": tile.name}
        for rank, (tile, score, lon, lat) in enumerate(summary.peaks(drawn.side), start=1)
    ]
    where: dict[str, Any] = {}
    if found.lonlat is not None:
        where = {"lon": round(found.lonlat[0], 7), "lat": round(found.lonlat[1], 7), "tile": found.tile}
    return {
        **about,
        "query": {**query.params(), "read_from": found.read_from, **where, "tags": list(found.tags)},
        "crs": "EPSG:3857",
        "width": grid.width,
        "height": grid.height,
        "resolution_m": round(_ground_m(grid), 3),
        "tiles": tiles,
        **{name: round(value, 6) for name, value in summary.statistics().items()},
        "peaks": [{**one, "url": point_url(one["lon"], one["lat"])} for one in peaks],
        "attribution": list(credits),
    }


def _draw(
    folder: Path,
    drawn: Drawn,
    chosen: _Tiles,
    grid: HeatGrid,
    query: HeatQuery,
    found: HeatVector,
    content: Mapping[str, Any],
    credits: Sequence[str],
) -> None:
    """Draws the PNG file and the page."""
    from geojepa_cli.evaluate.plots.heatmap import colour_range, colours, legend, plot_heatmap
    from geojepa_cli.export.heat_raster import read_overview
    from geojepa_cli.pages.heatmap.mosaic import join_images
    from geojepa_cli.pages.heatmap.page import MOSAIC_PX, HeatPicture, Mark, render_page

    heat = read_overview(folder / TIFF_FILE, OVERVIEW_PX)
    size = grid.width, grid.height
    marks = [] if found.lonlat is None else [Mark(*grid.pixel(*found.lonlat), "Q", *found.lonlat)]
    title = f"Similarity to {query.title} in {drawn.region.name}, by {content['model']}"
    plot_heatmap(folder / PNG_FILE, heat, size, grid.lonlat, title, [(one.x, one.y) for one in marks])
    corner, count = (grid.column, grid.row), (grid.columns, grid.rows)
    inside = [
        (row, tile)
        for row, tile in zip(chosen.shown_rows, chosen.shown, strict=True)
        if 0 <= tile.x - grid.column < grid.columns and 0 <= tile.y - grid.row < grid.rows
    ]
    mosaic = None
    if chosen.images is not None and inside:
        rows, tiles = zip(*inside, strict=True)
        mosaic = join_images(chosen.images, rows, tiles, corner, count, MOSAIC_PX)
    low, high = colour_range(heat)
    picture = HeatPicture(colours(heat), size, mosaic, shows_drawn_images(drawn.images), low, high, legend(9))
    marks += [Mark(*grid.pixel(p["lon"], p["lat"]), str(p["rank"]), p["lon"], p["lat"]) for p in content["peaks"]]
    points = "read from the images" if drawn.by_image else "computed from longitude and latitude alone,"
    what = f"Cosine similarity between the vector of {READ_FROM[found.read_from]} and those of points in "
    what += f"{console.counted(content['tiles'], 'tile')} of {drawn.region.name}, {points} every "
    what += f"{content['resolution_m']:.1f} m. Model: {content['model']}."
    page = render_page(picture, query.title, what, content["peaks"], marks, found.tags, credits)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
