"""EXIF of a file as GDAL reads it, with its own parser."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning


def by_gdal(path: Path) -> dict[str, str]:
    """EXIF as GDAL reads it, without the prefix of the names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return {name.removeprefix("EXIF_"): value for name, value in file.tags().items()}


def degrees_by_gdal(tags: dict[str, str], axis: str) -> float:
    d, m, s = (float(part) for part in re.findall(r"\(([^)]*)\)", tags[f"GPS{axis}"]))
    return (d + m / 60 + s / 3600) * (-1 if tags[f"GPS{axis}Ref"] in "SW" else 1)
