"""Picture of a heatmap: similarities as colours, with a legend, coordinates and the place of the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.plots.style import plain, save_png

COLOURS = "viridis"
_MARK = "#d5006d"
_NO_DATA = "#eceae4"
_INCHES, _DPI, _TICKS = 9.0, 150, 4
_LEAST_RANGE = 1e-3

Heat = NDArray[np.float32]
Place = Callable[[float, float], tuple[float, float]]


def colour_range(heat: Heat) -> tuple[float, float]:
    """Returns the lowest and highest value of the legend: the 1st and 99th percentile of all values."""
    shown = heat[np.isfinite(heat)]
    low, high = np.percentile(shown, [1, 99]) if len(shown) else (0.0, 0.0)
    if high - low < _LEAST_RANGE:
        low, high = (low + high - _LEAST_RANGE) / 2, (low + high + _LEAST_RANGE) / 2
    return float(low), float(high)


def colours(heat: Heat) -> NDArray[np.uint8]:
    """Returns the colour of each value. Pixels without data are transparent. uint8 [height, width, 4]"""
    from matplotlib import colormaps

    low, high = colour_range(heat)
    shown = np.nan_to_num((heat - low) / (high - low), nan=0.0)
    found = colormaps[COLOURS](shown, bytes=True)
    found[~np.isfinite(heat), 3] = 0
    return np.asarray(found)


def legend(steps: int) -> list[str]:
    """Returns colours from the lowest to the highest value, such as `#440154`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[COLOURS](step / (steps - 1))) for step in range(steps)]


def plot_heatmap(
    path: Path, heat: Heat, size: tuple[int, int], lonlat: Place, title: str, marks: Sequence[tuple[float, float]]
) -> None:
    """Draws a heatmap as a PNG file.

    Args:
        path: file to write.
        heat: similarities, NaN for no data. [h, w]
        size: width and height of the full raster in pixels.
        lonlat: returns longitude and latitude of a place in the full raster, given as pixels (x, y).
        title: title of the picture.
        marks: places of the query in the full raster, in pixels (x, y). Those outside are not drawn.
    """
    from matplotlib.figure import Figure

    width, height = size
    low, high = colour_range(heat)
    ratio = min(max(height / width, 0.3), 3.0)
    map_width = _INCHES / max(ratio, 1.0)
    figure = Figure(figsize=(map_width + 2.2, map_width * ratio + 0.8), layout="compressed")
    axes = figure.subplots()
    axes.set_facecolor(_NO_DATA)
    shown = axes.imshow(heat, COLOURS, vmin=low, vmax=high, extent=(0, width, height, 0), interpolation="nearest")
    inside = [(x, y) for x, y in marks if 0 <= x <= width and 0 <= y <= height]
    if inside:
        xs, ys = zip(*inside, strict=True)
        axes.scatter(xs, ys, s=170, marker="*", c=_MARK, edgecolors="white", label="query")
        axes.legend(loc="upper right", framealpha=0.9)
    for axis, length, number in ((axes.xaxis, width, 0), (axes.yaxis, height, 1)):
        places = np.linspace(0, length, _TICKS)
        axis.set_ticks(places, [f"{lonlat(*((at, 0) if number == 0 else (0, at)))[number]:.4f}°" for at in places])
    axes.tick_params(labelsize=8)
    bar = figure.colorbar(shown, ax=axes, extend="both", fraction=0.04, pad=0.02)
    bar.set_label("cosine similarity")
    axes.set_title(plain(title), loc="left", fontsize=10, wrap=True)
    save_png(figure, path, _DPI)
