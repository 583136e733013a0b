"""Validity of scenes: every layout in which files state missing pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from scene_files import TILE, UTM, around, bilinear, picture, project, write
from scene_layouts import LAYOUTS, OLDER, SHADE, halves, raw_write, rgbn_internal_mask, rgbn_nodata

from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scaling import Scaling
from geojepa_cli.sources.scenes import inspect_scene, newest_first


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_invalid_pixels_are_invalid_and_show_an_older_scene(
    tmp_path: Path, layout: Callable[[Path], np.ndarray]
) -> None:
    """Pixels within a pixel of the border may be either; values are scaled from 0..255 in all depths."""
    suffix = ".vrt" if layout.__name__.startswith("vrt") else ".tif"
    newer = tmp_path / f"20220101{suffix}"
    valid = layout(newer)
    transform, height, width = around(UTM, 2.5)
    older = write(tmp_path / "20100101.tif", np.full((3, height, width), OLDER, np.uint8), UTM, transform)
    scenes = newest_first([inspect_scene(newer), inspect_scene(older)])
    mosaic = Mosaic(scenes[:1], Scaling(0.0, 255.0))
    alone = mosaic.picture(TILE)
    mosaic.close()
    columns, rows = (axis.astype(int) for axis in ~transform * project(UTM))
    expected = valid[rows, columns]
    near = [np.roll(expected, step, axis) for axis in (0, 1) for step in (-2, -1, 1, 2)]
    sure = np.logical_and.reduce([one == expected for one in near])
    assert alone is not None and sure.mean() > 0.9
    assert np.array_equal(alone.valid[sure], expected[sure])
    mosaic = Mosaic(scenes, Scaling(0.0, 255.0))
    both = mosaic.picture(TILE)
    mosaic.close()
    assert both is not None and both.valid.all() and both.scene == 0
    visible = np.where(expected, SHADE, OLDER)
    if "vrt" in layout.__name__:  # where all is valid, the newer scene shows its black part
        visible = np.where(expected & ~halves(1)[1][rows, columns], 0, visible)
    off = np.abs(both.pixels.astype(int) - visible)[:, sure & (near[0] == near[1])]
    assert (off <= 1).mean() > 0.99


@pytest.mark.parametrize("layout", [rgbn_nodata, rgbn_internal_mask], ids=lambda layout: layout.__name__)
def test_a_half_covered_tile_has_the_valid_share_of_its_footprint(
    tmp_path: Path, layout: Callable[[Path], np.ndarray]
) -> None:
    layout(tmp_path / "a.tif")
    transform, _, width = around(UTM, 2.5)
    columns, _ = ~transform * project(UTM)
    share = (columns >= np.ceil(0.45 * width)).mean()
    assert 0.5 < share < 0.6
    assert picture(tmp_path / "a.tif").valid.mean() == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("overviews", [[], [2]])
@pytest.mark.parametrize("pixel", [0.25, 0.6, 1.1])
def test_dark_infrared_that_gdal_takes_for_alpha_darkens_no_average(
    tmp_path: Path, pixel: float, overviews: list[int]
) -> None:
    """Water is 0 in near infrared. GDAL leaves pixels of alpha 0 out of its averages, and writes 0 where all are."""
    transform, height, width = around(UTM, pixel)
    slope = np.tile(np.linspace(60, 220, width), (height, 1))
    infrared = np.random.default_rng(0).integers(1, 255, (height, width))
    infrared[height // 3 :, : width // 2] = 0
    data = np.stack([slope, slope, slope, infrared]).astype(np.uint8)
    path = tmp_path / "a.tif"
    raw_write(path, data, transform)
    with rasterio.open(path, "r+") as out:
        assert out.colorinterp[3] == ColorInterp.alpha
        if overviews:  # as a producer builds them: the fourth band takes no part in the averages
            out.colorinterp = [*out.colorinterp[:3], ColorInterp.undefined]
            out.build_overviews(overviews, rasterio.enums.Resampling.average)
            out.colorinterp = [*out.colorinterp[:3], ColorInterp.alpha]
    found = picture(path)
    expected = bilinear(data[:3].astype(float), UTM, transform)
    assert found.valid.all() and np.abs(found.pixels[:, 2:-2, 2:-2] - expected[:, 2:-2, 2:-2]).max() <= 2


def test_black_pixels_of_a_scene_that_states_nothing_are_valid(tmp_path: Path) -> None:
    data, _, transform = halves(3)
    raw_write(tmp_path / "a.tif", data, transform)
    found = picture(tmp_path / "a.tif")
    assert found.valid.all() and (found.pixels == 0).any()


def test_a_mask_overrules_no_data_values(tmp_path: Path) -> None:
    """As for GDAL: black pixels that the mask has as valid are valid."""
    data, _, transform = halves(3)
    raw_write(tmp_path / "a.tif", data, transform, nodata=0)
    with rasterio.open(tmp_path / "a.tif", "r+") as out:
        out.write_mask(np.full(data.shape[1:], 255, np.uint8))
    assert picture(tmp_path / "a.tif").valid.all()


def test_of_two_bands_and_alpha_the_first_is_grey(tmp_path: Path) -> None:
    data, valid, transform = halves(3)
    data[2] = valid * 255
    raw_write(tmp_path / "a.tif", data, transform, photometric="minisblack")
    with rasterio.open(tmp_path / "a.tif", "r+") as out:
        out.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    assert inspect_scene(tmp_path / "a.tif").bands == (1, 1, 1)
