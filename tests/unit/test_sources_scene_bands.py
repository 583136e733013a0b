"""Bands and validity of scenes: every layout in which files state colours and missing pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from scene_files import TILE, UTM, around, bilinear, noise, picture, project, write

from geojepa_cli.errors import DataError
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scaling import Scaling
from geojepa_cli.sources.scenes import inspect_scene, newest_first


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
        with pytest.raises(DataError, match="no infrared band"):
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


# -- what states that pixels are invalid -----------------------------------------------------------------------------

SHADE = 150  # of the newer scene where it is valid
OLDER = 50  # of the older scene, which covers all


def halves(count: int, dtype: str = "uint8", hidden: float = 0) -> tuple[np.ndarray, np.ndarray, Affine]:
    """A raster around the tile with `SHADE` in its eastern part and `hidden` in its western part.

    Returns:
        Its values, where they are valid, and its transform.
    """
    transform, height, width = around(UTM, 2.5)
    valid = np.tile(np.arange(width) >= 0.45 * width, (height, 1))
    data = np.where(valid, SHADE, hidden).astype(dtype)
    return np.repeat(data[None], count, 0), valid, transform


def varied(data: np.ndarray, valid: np.ndarray, hidden: int = 0) -> np.ndarray:
    """Near infrared as it is: no two neighbours alike, water as dark as 0."""
    infrared = np.random.default_rng(5).integers(0, 256, valid.shape)
    data[3] = np.where(valid, infrared, hidden)
    return data


def raw_write(path: Path, data: np.ndarray, transform: Affine, **how: object) -> None:
    """As rasterio writes it: GDAL guesses the colours."""
    count, height, width = data.shape
    profile = {"driver": "GTiff", "dtype": data.dtype, "count": count, "height": height, "width": width, "crs": UTM}
    with rasterio.open(path, "w", **profile, transform=transform, **how) as out:
        out.write(data)


def rgb_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(3)
    raw_write(path, data, transform, nodata=0)
    return valid


def rgba(path: Path) -> np.ndarray:
    """The transparent part is bright, as a white page behind a map is."""
    data, valid, transform = halves(4, hidden=255)
    data[3] = valid * 255
    raw_write(path, data, transform)
    return valid


def rgba_nodata(path: Path) -> np.ndarray:
    """Alpha hides one part, the no-data value another."""
    data, valid, transform = halves(4)
    data[3] = 255
    data[3, :40] = 0
    raw_write(path, data, transform, nodata=0)
    valid = valid.copy()
    valid[:40] = False
    return valid


def rgbn_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(4)
    raw_write(path, varied(data, valid), transform, nodata=0)
    return valid


def rgbn_internal_mask(path: Path) -> np.ndarray:
    data, valid, transform = halves(4)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        raw_write(path, varied(data, valid), transform)
        with rasterio.open(path, "r+") as out:
            out.write_mask(valid)
    assert not path.with_name(f"{path.name}.msk").exists()
    return valid


def rgbn_mask_file(path: Path) -> np.ndarray:
    data, valid, transform = halves(4)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        raw_write(path, varied(data, valid), transform)
        with rasterio.open(path, "r+") as out:
            out.write_mask(valid)
    assert path.with_name(f"{path.name}.msk").exists()
    return valid


def rgbn_undefined_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(4)
    write(path, varied(data, valid), UTM, transform, nodata=0)
    return valid


def rgbn_sixteen_bits_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(4, "uint16", hidden=65_535)
    raw_write(path, varied(data, valid, hidden=65_535), transform, nodata=65_535, photometric="rgb", alpha="yes")
    return valid


def argb(path: Path) -> np.ndarray:
    data, valid, transform = halves(4, hidden=255)
    data[0] = valid * 255
    raw_write(path, data, transform)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [ColorInterp.alpha, ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    return valid


def five_bands_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(5)
    raw_write(path, varied(data, valid), transform, nodata=0)
    return valid


def six_bands_alpha_last(path: Path) -> np.ndarray:
    data, valid, transform = halves(6, hidden=255)
    data[5] = valid * 255
    raw_write(path, varied(data, valid, hidden=9), transform)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [*out.colorinterp[:5], ColorInterp.alpha]
    return valid


def grey_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(1)
    raw_write(path, data, transform, nodata=0)
    return valid


def grey_alpha(path: Path) -> np.ndarray:
    data, valid, transform = halves(2, hidden=255)
    data[1] = valid * 255
    raw_write(path, data, transform, alpha="yes")
    return valid


def sixteen_bits_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(3, "uint16", hidden=65_535)
    raw_write(path, data, transform, nodata=65_535)
    return valid


def sixteen_bits_alpha(path: Path) -> np.ndarray:
    data, valid, transform = halves(4, "uint16", hidden=65_535)
    data[3] = valid * 65_535
    raw_write(path, data, transform, photometric="rgb", alpha="yes")
    return valid


def floats_nan(path: Path) -> np.ndarray:
    data, valid, transform = halves(3, "float32", hidden=math.nan)
    raw_write(path, data, transform)
    return valid


def floats_nan_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(3, "float32", hidden=math.nan)
    raw_write(path, data, transform, nodata=math.nan)
    return valid


def floats_nodata(path: Path) -> np.ndarray:
    data, valid, transform = halves(3, "float32", hidden=-9999)
    raw_write(path, data, transform, nodata=-9999)
    return valid


def floats_alpha(path: Path) -> np.ndarray:
    data, valid, transform = halves(4, "float32")
    data[3] = valid
    raw_write(path, data, transform)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    return valid


def vrt_with_nodata(path: Path, values: list[str | None]) -> np.ndarray:
    """A VRT that states a no-data value for each band or none."""
    data, valid, transform = halves(4)
    write(path.with_name("part.tiff"), varied(data, valid), UTM, transform)
    rasterio.shutil.copy(str(path.with_name("part.tiff")), str(path), driver="VRT")
    head, *bands = path.read_text().split("<VRTRasterBand")
    stated = [
        band if value is None else band.replace("<ColorInterp>", f"<NoDataValue>{value}</NoDataValue><ColorInterp>")
        for band, value in zip(bands, values, strict=True)
    ]
    path.write_text("<VRTRasterBand".join([head, *stated]))
    return valid


def vrt_nodata_of_colours(path: Path) -> np.ndarray:
    return vrt_with_nodata(path, ["0", "0", "0", None])


def vrt_nodata_of_one_colour(path: Path) -> np.ndarray:
    """The other two bands are valid everywhere, so every pixel is."""
    return np.ones_like(vrt_with_nodata(path, ["0", None, None, None]))


def vrt_nodata_out_of_range(path: Path) -> np.ndarray:
    """No byte is -9999."""
    return np.ones_like(vrt_with_nodata(path, ["-9999"] * 4))


LAYOUTS = [
    rgb_nodata, rgba, rgba_nodata, rgbn_nodata, rgbn_internal_mask, rgbn_mask_file, rgbn_undefined_nodata,
    rgbn_sixteen_bits_nodata, argb, five_bands_nodata, six_bands_alpha_last, grey_nodata, grey_alpha,
    sixteen_bits_nodata, sixteen_bits_alpha, floats_nan, floats_nan_nodata, floats_nodata, floats_alpha,
    vrt_nodata_of_colours, vrt_nodata_of_one_colour, vrt_nodata_out_of_range,
]  # fmt: skip


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
