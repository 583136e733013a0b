"""Finds the red, green, blue and near-infrared bands of a scene (a georeferenced image), and its valid pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError

SAMPLE_PX = 512  # maximum side of the reduced image from which the alpha band and the range of values are determined
_MIN_OPAQUE = 0.5  # minimum fraction of opaque values among the non-zero values of a real alpha band
_HALF = 128  # minimum value of valid pixels in masks from 0 to 255


class MaskRule(NamedTuple):
    """Rule that decides which pixels of a scene (georeferenced image) are valid. A valid pixel contains data.

    If both `nodata` and `alpha` are set, a pixel is valid only if both mark it as valid. If `mask_band` is True, only
    the mask band is used: `nodata` is empty and `alpha` is None.

    Attributes:
        mask_band: True if the dataset has an internal mask or a `.msk` file.
        nodata: 1-based indices of the bands whose no-data values are used. A pixel is invalid if all of these bands
            have their no-data value.
        alpha: 1-based index of the alpha band; None if there is none.
        ignored_alpha: True if GDAL regards a band as alpha although the band holds data, such as NAIP's infrared. The
            bands must then not be downsampled by GDAL, because GDAL would weight each pixel by the value of this band.
    """

    mask_band: bool = False
    nodata: tuple[int, ...] = ()
    alpha: int | None = None
    ignored_alpha: bool = False

    @property
    def applies(self) -> bool:
        """True if a mask band, no-data values or an alpha band decide which pixels are valid.

        If False, only pixels with NaN or infinite values are invalid.
        """
        return self.mask_band or bool(self.nodata) or self.alpha is not None


def choose_bands(source: Any) -> tuple[int, int, int]:
    """Returns the 1-based indices of the red, green and blue bands of a dataset.

    The bands are found by their colour interpretation. If the colour interpretation does not name red, green and blue,
    the first three bands except alpha are used. If there are fewer than three bands, the first band is used three
    times, as grey.
    """
    from rasterio.enums import ColorInterp

    colours = list(source.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in colours for colour in wanted):
        red, green, blue = (colours.index(colour) + 1 for colour in wanted)
        return red, green, blue
    alpha = alpha_band(source)
    first = [index for index in source.indexes if index != alpha] or [1]
    return (first[0], first[1], first[2]) if len(first) >= 3 else (first[0],) * 3


def infrared_band(source: Any, colours: Sequence[int], path: Path) -> int:
    """Returns the 1-based index of the near-infrared band of a dataset.

    The band is found by its colour interpretation. If no band is marked as near infrared, the first band that is
    neither red, green, blue nor alpha is used.

    Raises:
        DataError: the dataset has no such band.
    """
    from rasterio.enums import ColorInterp

    interpretations = list(source.colorinterp)
    if ColorInterp.nir in interpretations:
        return interpretations.index(ColorInterp.nir) + 1
    alpha = alpha_band(source)
    rest = [index for index in source.indexes if index not in colours and index != alpha]
    if not rest or source.count < 4:
        raise DataError(f"`{path}` has no near-infrared band", hints.again(bands="rgb"))
    return int(rest[0])


def alpha_band(source: Any) -> int | None:
    """Returns the 1-based index of the alpha band of a dataset; None if there is none.

    GDAL regards the last of four bands as alpha by default, but in aerial images this band is often infrared. So the
    values are checked: the band is alpha only if at least half of its non-zero values are the maximum (opaque).
    """
    from rasterio.enums import ColorInterp

    if ColorInterp.alpha not in source.colorinterp:
        return None
    index = int(source.colorinterp.index(ColorInterp.alpha)) + 1
    alpha = source.read(index, out_shape=decimated_shape(source))
    shown = alpha[alpha != 0]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else shown.max(initial=0)
    return None if len(shown) and np.mean(shown == opaque) < _MIN_OPAQUE else index


def find_mask_rule(source: Any, colours: Sequence[int], trust_alpha: bool = True) -> MaskRule:
    """Returns the rule that decides which pixels of a dataset are valid.

    If the dataset has a mask band, only the mask band is used, as in GDAL. Otherwise, no-data values and the alpha band
    are both used.

    Args:
        source: rasterio dataset.
        colours: 1-based indices of the red, green and blue bands. No-data values are used only if each of these three
            bands has a no-data value.
        trust_alpha: False to ignore a band that GDAL regards as alpha, because the band is known to hold data.
    """
    from rasterio.enums import MaskFlags

    flags = source.mask_flag_enums
    if any(MaskFlags.per_dataset in flag and MaskFlags.alpha not in flag for flag in flags):
        return MaskRule(mask_band=True)
    alpha = alpha_band(source) if trust_alpha else None
    stated = zip(source.indexes, flags, strict=True)
    nodata = tuple(index for index, flag in stated if MaskFlags.nodata in flag and index != alpha)
    ignored = alpha is None and any(MaskFlags.alpha in flag for flag in flags)
    return MaskRule(nodata=nodata if set(colours) <= set(nodata) else (), alpha=alpha, ignored_alpha=ignored)


def find_valid(source: Any, rule: MaskRule, data: npt.NDArray[Any], **how: Any) -> npt.NDArray[np.bool_]:
    """Returns the mask of valid pixels: bool [rows, columns]. NaN and infinite values are never valid.

    Args:
        source: rasterio dataset.
        rule: mask rule of the dataset.
        data: pixels that were read from the dataset, [bands, rows, columns].
        how: keyword arguments of the call `source.read` that returned `data`: `window`, `out_shape` and `resampling`.
            The mask band, no-data masks or alpha band are read with the same arguments, so that they match `data`.
    """
    valid: npt.NDArray[np.bool_] = np.isfinite(data).all(axis=0)
    if rule.mask_band:
        valid &= source.read_masks(1, **how) >= _HALF
    if rule.nodata:
        masks = [source.read_masks(index, **how) for index in rule.nodata]
        valid &= np.bitwise_or.reduce(masks) >= _HALF
    if rule.alpha is not None:
        valid &= _read_alpha(source, rule.alpha, **how) >= _HALF
    return valid


def decimated_shape(source: Any) -> tuple[int, int]:
    """Returns the shape (rows, columns) of a reduced copy of a dataset. Both numbers are at most `SAMPLE_PX`.

    The reduced copy is read as a sample of the dataset's pixels.
    """
    return min(source.height, SAMPLE_PX), min(source.width, SAMPLE_PX)


def _read_alpha(source: Any, band: int, **how: Any) -> npt.NDArray[np.float32]:
    """Returns the alpha band, scaled so that 0 is transparent and 255 is opaque.

    In an integer band, the maximum of the data type is opaque. In a float band, the opaque value is 1 if all values are
    at most 1, else 255 if all values are at most 255, else 65,535.
    """
    alpha: npt.NDArray[Any] = source.read(band, **how)
    if alpha.dtype.kind in "ui":
        opaque = float(np.iinfo(alpha.dtype).max)
    else:
        opaque = next((value for value in (1.0, 255.0) if alpha.max(initial=0.0) <= value), 65_535.0)
    return alpha.astype(np.float32) * np.float32(255.0 / opaque)
