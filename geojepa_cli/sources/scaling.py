"""Scaling of scenes (georeferenced images) with more than 8 bits per band to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.sources.scene_bands import decimated_shape, find_valid
from geojepa_cli.sources.scenes import Scene, opened

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0


class Scaling(NamedTuple):
    """Linear scaling of pixel values from [low, high] to [0, 255].

    All scenes and bands use the same range. So the scaling neither shifts colours nor makes seams between scenes.
    """

    low: float
    high: float


def find_scaling(scenes: Sequence[Scene]) -> Scaling | None:
    """Returns the scaling to 8 bits for scenes with more than 8 bits per band; None if there are no such scenes.

    The scaling maps the 2nd percentile of the valid pixels of these scenes to 0, and the 98th percentile to 255.

    Raises:
        DataError: the two percentiles are equal, or no pixel is valid.
    """
    samples = []
    for scene in scenes:
        if scene.dtype != "uint8":
            with opened(scene.path) as source:
                shape = decimated_shape(source)
                pixels = source.read(scene.bands, out_shape=(len(scene.bands), *shape)).astype(np.float64)
                valid = find_valid(source, scene.mask, pixels, out_shape=shape)
            samples.append(pixels[:, valid].ravel())
    if not samples:
        return None
    values = np.concatenate(samples)
    low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]) if len(values) else (0.0, 0.0)
    if not low < high:
        names = ", ".join(f"`{scene.path}`" for scene in scenes if scene.dtype != "uint8")
        hint = hints.shell("gdalinfo", "-stats", str(scenes[0].path))
        why = "no pixel is valid, or almost all valid pixels have the same value"
        raise DataError(f"{names} cannot be scaled to 8 bits: {why}", hint)
    return Scaling(float(low), float(high))
