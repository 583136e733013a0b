"""Heatmaps: similarities at points of images, their georeferencing, their summary, and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from painted_store import gair_config

from geojepa_cli.evaluate.heatmaps import HeatSummary, pixel_centres, similarity_in_images
from geojepa_cli.evaluate.plots.heatmap import colour_range, colours
from geojepa_cli.export.heat_raster import HeatGrid, read_overview, write_heat
from geojepa_cli.grid import TileId, from_tile_uv, tile_uv
from geojepa_cli.models.gair.build import build_gair
from geojepa_cli.models.gair.embedder import GairEmbedder
from geojepa_cli.pages.heatmap.mosaic import NO_IMAGE, join_images
from geojepa_cli.pages.heatmap.page import HeatPicture, Mark, render_page
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.images import ImageStore, create_images

TO_DEGREES = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
EVIL = '<img src=x onerror="alert(1)">'
TILES = [TileId(16, 18048, 25956), TileId(16, 18050, 25956), TileId(16, 18049, 25958)]


def image_store(folder: Path, images: list[np.ndarray]) -> ImageStore:
    create_images(folder / "images.h5", TILES[: len(images)], ImageForm(), images)
    return ImageStore(folder / "images.h5")


def test_a_constant_image_gives_a_constant_map(tmp_path: Path) -> None:
    """Without the trained vectors of positions, and with a decoder that does not read the position in a cell."""
    module = build_gair(gair_config("model.decoder=bilinear"), seed=3).eval().requires_grad_(False)
    module.overhead.position.zero_()
    rng = np.random.default_rng(0)
    plain = np.full((3, 224, 224), 120, np.uint8)
    store = image_store(tmp_path, [plain, rng.integers(0, 255, (3, 224, 224), np.uint8)])
    query = rng.standard_normal(32)
    query /= np.linalg.norm(query)
    flat, varied = similarity_in_images(GairEmbedder(module, torch.zeros(1, 16)), query, store, [0, 1], 32)
    assert flat.shape == (32, 32) and flat.dtype == np.float32
    assert np.ptp(flat) <= 1e-5 and np.ptp(varied) > 1e-2


def test_positions_in_images_are_converted_to_degrees_and_back() -> None:
    points = pixel_centres(4)
    assert points[0].tolist() == [0.125, 0.125] and points[1].tolist() == [0.375, 0.125]
    lonlat = from_tile_uv(*TILES[0], points)
    np.testing.assert_allclose(tile_uv(*TILES[0], lonlat), points, atol=1e-9)


def test_pixels_of_the_raster_are_where_pyproj_and_rasterio_place_them(tmp_path: Path) -> None:
    side = 16
    grid = HeatGrid.around(TILES, side)
    assert (grid.columns, grid.rows, grid.width, grid.height) == (3, 3, 48, 48)
    heats = [np.arange(side * side, dtype=np.float32).reshape(side, side) + 1000 * n for n in range(3)]
    write_heat(tmp_path / "a.tif", grid, zip(TILES, heats, strict=True), "test", {"model": "m"})
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.crs.to_epsg() == 3857 and np.isnan(file.nodata) and file.descriptions == ("test",)
        assert file.tags()["model"] == "m" and file.dtypes == ("float32",)
        values = file.read(1)
        assert np.isfinite(values).sum() == 3 * side * side
        for number, tile in enumerate(TILES):
            for place, (lon, lat) in zip(
                (3, 100, 255), from_tile_uv(*tile, pixel_centres(side)[[3, 100, 255]]), strict=True
            ):
                x, y = TO_DEGREES.transform(lon, lat, direction="INVERSE")
                row, column = file.index(x, y)
                assert values[row, column] == heats[number].ravel()[place]
                centre = file.xy(row, column)
                np.testing.assert_allclose(TO_DEGREES.transform(*centre), (lon, lat), atol=1e-9)
                np.testing.assert_allclose(grid.pixel(lon, lat), (column + 0.5, row + 0.5), atol=1e-5)
                np.testing.assert_allclose(grid.lonlat(column + 0.5, row + 0.5), (lon, lat), atol=1e-9)


def test_the_overview_has_means_and_keeps_areas_without_data(tmp_path: Path) -> None:
    grid = HeatGrid.around(TILES, 16)
    rng = np.random.default_rng(1)
    heats = [rng.random((16, 16), np.float32) for _ in TILES]
    write_heat(tmp_path / "a.tif", grid, zip(TILES, heats, strict=True), "test", {})
    small = read_overview(tmp_path / "a.tif", 12)
    assert small.shape == (12, 12)
    np.testing.assert_allclose(small[:4, :4], heats[0].reshape(4, 4, 4, 4).mean((1, 3)), atol=1e-6)
    assert np.isnan(small[:4, 4:8]).all() and np.isfinite(small[8:, 4:8]).all()
    assert read_overview(tmp_path / "a.tif", 5000).shape == (48, 48)


def test_the_raster_takes_no_space_for_tiles_without_data(tmp_path: Path) -> None:
    far = [TILES[0], TileId(16, TILES[0].x + 400, TILES[0].y + 300)]
    grid = HeatGrid.around(far, 64)
    write_heat(tmp_path / "a.tif", grid, ((tile, np.ones((64, 64), np.float32)) for tile in far), "test", {})
    assert grid.width * grid.height > 4e8 and (tmp_path / "a.tif").stat().st_size < 3_000_000


def test_the_summary_equals_numpy_and_lists_the_best_tiles() -> None:
    rng = np.random.default_rng(2)
    tiles = [TileId(16, 18048 + n, 25956) for n in range(7)]
    heats = rng.uniform(-1, 1, (7, 16, 16)).astype(np.float32)
    summary = HeatSummary(3)
    for tile, heat in zip(tiles, heats, strict=True):
        summary.add(tile, heat)
    values = heats.astype(float)
    expected = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
    assert summary.statistics() == pytest.approx(expected)
    best = np.argsort(-heats.max((1, 2)))[:3]
    peaks = summary.peaks(16)
    assert [tile for tile, *_ in peaks] == [tiles[n] for n in best]
    for (tile, score, lon, lat), number in zip(peaks, best, strict=True):
        (uv,) = tile_uv(*tile, [(lon, lat)])
        row, column = int(uv[1] * 16), int(uv[0] * 16)
        assert heats[number][row, column] == heats[number].max() == np.float32(score)
    equal = HeatSummary(2)
    for tile in tiles:
        equal.add(tile, np.zeros((16, 16), np.float32))
    assert [tile for tile, *_ in equal.peaks(16)] == tiles[:2]


def test_colours_have_a_range_even_if_all_values_are_equal_or_missing() -> None:
    flat = np.full((4, 4), 0.5, np.float32)
    flat[0, 0] = np.nan
    low, high = colour_range(flat)
    assert low < 0.5 < high
    assert (colours(flat)[..., 3] == 0).sum() == 1
    assert colour_range(np.full((2, 2), np.nan, np.float32))[0] < 0


def test_images_are_joined_where_their_tiles_are(tmp_path: Path) -> None:
    images = [np.full((3, 224, 224), value, np.uint8) for value in (10, 90, 200)]
    store = image_store(tmp_path, images)
    joined = join_images(store, [0, 1, 2], TILES, (18048, 25956), (3, 3), 30)
    assert joined.shape == (3, 30, 30)
    assert (joined[:, :10, :10] == 10).all() and (joined[:, :10, 20:] == 90).all()
    assert (joined[:, 20:, 10:20] == 200).all() and joined[:, 15, 15].tolist() == list(NO_IMAGE)


@pytest.mark.parametrize("with_images", [True, False])
def test_the_page_is_self_contained_and_escapes_tags(with_images: bool) -> None:
    mosaic = np.zeros((3, 8, 8), np.uint8) if with_images else None
    picture = HeatPicture(colours(np.eye(8, dtype=np.float32)), (80, 80), mosaic, False, 0.1, 0.9, ["#000", "#fff"])
    peaks = [{"rank": 1, "score": 0.5, "lon": 1.0, "lat": 2.0, "tile": "16_1_2", "url": "https://example.org"}]
    marks = [Mark(10, 20, "Q", 1, 2), Mark(500, 20, "1", 1, 2)]
    page = render_page(picture, EVIL, "what", peaks, marks, [f"name={EVIL}"], ["© OpenStreetMap contributors"])
    assert "<img" not in page and "&lt;img" in page
    assert page.count("<circle") == 1  # the other mark is outside
    assert page.count("<script") == with_images and ("opacity" in page.split("</style>")[1]) == with_images
    assert 'src="http' not in page and "outside this map" not in page
