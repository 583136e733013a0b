"""Bands and validity of scenes: every layout in which files state colours and missing pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from scene_files import TILE, UTM, around, bilinear, noise, picture, write

from geojepa_cli.errors import DataError
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scenes import inspect_scene


@pytest.mark.parametrize("size", [100, 256])
def test_four_bands_of_another_side_agree_with_pyproj_and_numpy(tmp_path: Path, size: int) -> None:
    """Infrared is the band that says so, or the fourth; its values are not hidden by its being 0."""
    transform, height, width = around(UTM, 6.0)
    data = noise((4, height, width))
    data[3, :, : width // 2] = 0
    path = write(tmp_path / "a.tif", data, UTM, transform)
    scene = inspect_scene(path, infrared=True)
    mosaic = Mosaic([scene], size_px=size)
    found = mosaic.picture(TILE)
    mosaic.close()
    assert found is not None and found.valid.all() and found.pixels.shape == (4, size, size)
    off = np.abs(found.pixels - bilinear(data.astype(np.float64), UTM, transform, size))
    assert (off <= 2).mean() >= 0.99
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [ColorInterp.nir, ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    assert inspect_scene(path, infrared=True).bands == (2, 3, 4, 1)


def test_a_scene_without_infrared_is_refused_where_it_is_requested(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 20.0)
    three = write(tmp_path / "a.tif", noise((3, height, width)), UTM, transform)
    data = noise((4, height, width))
    data[3] = 255
    transparent = write(tmp_path / "b.tif", data, UTM, transform)
    with rasterio.open(transparent, "r+") as out:
        out.colorinterp = [*out.colorinterp[:3], ColorInterp.alpha]
    for path in (three, transparent):
        with pytest.raises(DataError, match="no near-infrared band"):
            inspect_scene(path, infrared=True)


def test_infrared_that_gdal_takes_for_alpha_hides_nothing(shared: Path) -> None:
    scene = inspect_scene(shared / "naip/geotiff/m_3211605_ne_11_060_20200415.tif")
    with rasterio.open(scene.path) as source:
        assert source.colorinterp[3] == ColorInterp.alpha
    assert not scene.mask.applies and scene.bands == (1, 2, 3)


@pytest.mark.parametrize(("count", "bands"), [(1, (1, 1, 1)), (2, (1, 1, 1)), (3, (1, 2, 3)), (5, (1, 2, 3))])
def test_bands_are_chosen_by_order_where_no_colour_is_stated(
    tmp_path: Path, count: int, bands: tuple[int, int, int]
) -> None:
    transform, height, width = around(UTM, 20.0)
    assert inspect_scene(write(tmp_path / "a.tif", noise((count, height, width)), UTM, transform)).bands == bands


def test_colours_in_another_order_are_read_as_red_green_blue(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 20.0)
    path = write(tmp_path / "a.tif", noise((3, height, width)), UTM, transform)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    assert inspect_scene(path).bands == (3, 2, 1)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_an_alpha_band_with_soft_borders_is_an_alpha_band(tmp_path: Path, share: float) -> None:
    """The tile's north is transparent, and black below."""
    transform, height, width = around(UTM, 2.5)
    data = np.full((4, height, width), 200, np.uint8)
    soft = int(height * share)
    data[3] = np.clip((np.arange(height)[:, None] - height // 4) * 255 // soft, 0, 255)
    data[:3, data[3] == 0] = 0
    path = write(tmp_path / "a.tif", data, UTM, transform)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [*out.colorinterp[:3], ColorInterp.alpha]
    assert inspect_scene(path).mask.applies
    found = picture(path)
    assert not found.valid[:20].any() and found.valid[-20:].all() and found.pixels[:, found.valid].min() >= 198
