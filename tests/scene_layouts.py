"""Scenes of every layout in which files state invalid pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from scene_files import UTM, around, write

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
