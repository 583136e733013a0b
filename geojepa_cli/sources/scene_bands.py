"""Bands of a scene: red, green, blue and near infrared, and what states which pixels are valid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError

SAMPLE_PX = 512  # side of the decimated read by which the alpha band and the range of a scene are judged
_MIN_OPAQUE = 0.5  # least share of the alpha band's values above 0 that are opaque; otherwise it holds data
_HALF = 128  # of a mask band's 255


class MaskRule(NamedTuple):
    """Statements of a dataset about its valid pixels. Several may apply; then a pixel has to satisfy all.

    Attributes:
        mask_band: an internal mask, or one in a `.msk` file.
        nodata: 1-based indices of the bands whose no-data value counts: a pixel is invalid where all have it.
        alpha: 1-based index of the alpha band, or None.
        ignored_alpha: GDAL takes a band for alpha that holds data, such as NAIP's infrared. It must not take part in
            GDAL's averages either.
    """

    mask_band: bool = False
    nodata: tuple[int, ...] = ()
    alpha: int | None = None
    ignored_alpha: bool = False

    @property
    def applies(self) -> bool:
        """True where something states that pixels are invalid; otherwise only NaN is."""
        return self.mask_band or bool(self.nodata) or self.alpha is not None


def choose_bands(source: Any) -> tuple[int, int, int]:
    """Returns the 1-based indices of red, green and blue: by colour interpretation, else the first three bands.

    Of fewer than three bands, alpha not counted, the first is taken as grey.
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
    """Returns the band of near infrared: by colour interpretation, else the first that is neither colour nor alpha.

    Raises:
        DataError: no such band.
    """
    from rasterio.enums import ColorInterp

    interpretations = list(source.colorinterp)
    if ColorInterp.nir in interpretations:
        return interpretations.index(ColorInterp.nir) + 1
    alpha = alpha_band(source)
    rest = [index for index in source.indexes if index not in colours and index != alpha]
    if not rest or source.count < 4:
        raise DataError(f"`{path}` has no infrared band", hints.again(bands="rgb"))
    return int(rest[0])


def alpha_band(source: Any) -> int | None:
    """Returns the 1-based index of the alpha band, or None.

    Without further information, GDAL takes the last of four bands for alpha; in aerial images it is infrared. So the
    values decide: most of those above 0 in an alpha band are opaque.
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
    """Returns what states which pixels of a dataset are valid.

    As for GDAL, a mask band overrules no-data values and alpha. No-data values and alpha apply together.

    Args:
        source: the dataset.
        colours: 1-based indices of red, green and blue. No-data values count where all of these bands have one.
        trust_alpha: False where a band that GDAL takes for alpha is known to hold data.
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
    """Returns where pixels are valid: bool [rows, columns]. NaN is never valid.

    Args:
        source: the dataset.
        rule: of the dataset.
        data: its values there, [bands, rows, columns].
        how: `window`, `out_shape` and `resampling` by which `data` was read.
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
    """Returns rows and columns of a dataset, at most `SAMPLE_PX` each."""
    return min(source.height, SAMPLE_PX), min(source.width, SAMPLE_PX)


def _read_alpha(source: Any, band: int, **how: Any) -> npt.NDArray[np.float32]:
    """Returns the alpha band from 0 to 255; of floats, 1, 255 or 65,535 is opaque."""
    alpha: npt.NDArray[Any] = source.read(band, **how)
    if alpha.dtype.kind in "ui":
        opaque = float(np.iinfo(alpha.dtype).max)
    else:
        opaque = next((value for value in (1.0, 255.0) if alpha.max(initial=0.0) <= value), 65_535.0)
    return alpha.astype(np.float32) * np.float32(255.0 / opaque)
