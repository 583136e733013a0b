"""Pictures of a model's vectors: entity vectors of some tiles as colours, and a map of all tile vectors.

Like figures 43 to 45 of the GeoJEPA thesis. Colours and maps have no fixed orientation, so compare the structure of
two pictures, not their colours.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

COLUMNS, ROWS = 4, 2  # tiles in the picture
_BACKGROUND = "#f4f2ee"


def plot_latents(
    tiles: Floats, entities: Floats, boxes: Floats, cu_seqlens: NDArray[np.int64], title: str, path: Path
) -> None:
    """Draws the entity vectors of eight tiles at the boxes of the entities, and a scatter plot of all tile vectors.

    The colour of an entity is made of the first three principal components of all entity vectors (red, green, blue).
    In the scatter plot, the colour of a tile is its number of entities.

    Args:
        tiles: tile vectors. [B, W]
        entities: entity vectors, tile by tile. [T, D]
        boxes: corners (x, y) of the entities' boxes in tile units. [T, 8]
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        title: title of the picture.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    from geojepa_cli.evaluate.plots.style import save_png

    figure = Figure(figsize=(16, 6.2), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=[2, 1.25], squeeze=False).flat
    colours, counts = rgb(entities), np.diff(cu_seqlens)
    panels = left.subplots(ROWS, COLUMNS).flat
    chosen = np.sort(np.argsort(-counts, kind="stable")[: 2 * ROWS * COLUMNS : 2])  # every second of the fullest
    for axes, tile in zip(panels, [*chosen.tolist(), *[None] * (ROWS * COLUMNS)], strict=False):
        axes.set_axis_off()
        if tile is not None:
            rows = slice(int(cu_seqlens[tile]), int(cu_seqlens[tile + 1]))
            _draw_tile(axes, boxes[rows], colours[rows])
    axes = right.subplots()
    places, method = project(tiles)
    points = axes.scatter(*places.T, c=np.log10(np.maximum(counts, 1)), s=22, cmap="viridis")
    bar = right.colorbar(points, ax=axes, shrink=0.7)
    low, high = points.get_clim()
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if low <= np.log10(n) <= high]
    bar.set_ticks(list(np.log10(ticks)), labels=[f"{n:,}" for n in ticks])
    bar.set_label("entities")
    axes.set_title(f"tile vectors, {method}", fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    save_png(figure, path, dpi=100)


def rgb(vectors: Floats) -> Floats:
    """Returns a colour for each vector: its first three principal components, from the 2nd to the 98th percentile.

    Args:
        vectors: vectors [n, d].

    Returns:
        Red, green and blue, 0 to 1. [n, 3]
    """
    parts = principal_components(vectors, 3)
    low, high = np.percentile(parts, [2, 98], axis=0)
    scaled: Floats = np.clip((parts - low) / np.maximum(high - low, 1e-12), 0, 1)
    return scaled


def project(vectors: Floats) -> tuple[Floats, str]:
    """Returns two coordinates for each vector, and the name of the method.

    The method is PaCMAP (Wang et al. 2021) if the extra `plots` is installed, else principal components.
    """
    if util.find_spec("pacmap") is None or len(vectors) < 20:
        return principal_components(vectors, 2), "principal components (PaCMAP needs the extra `plots`)"
    import pacmap

    places = pacmap.PaCMAP(n_components=2, random_state=0, apply_pca=True).fit_transform(vectors.astype(np.float32))
    return np.asarray(places, np.float64), "PaCMAP"


def principal_components(vectors: Floats, count: int) -> Floats:
    """Returns the first principal components of vectors [n, d], with zeros if d or n is smaller. [n, count]

    The sign of a component is chosen so that its largest loading is positive.
    """
    centred = vectors - vectors.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:count]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    parts = centred @ (axes * signs[:, None]).T
    return np.pad(parts, ((0, 0), (0, count - parts.shape[1])))


def _draw_tile(axes: Axes, boxes: Floats, colours: Floats) -> None:
    """Draws the boxes of a tile, the largest first. A box is at least 1 % of the tile wide, so that points are seen."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Rectangle

    corners = boxes.reshape(-1, 4, 2)
    centre = corners.mean(1, keepdims=True)
    longest = np.abs(corners - centre).max((1, 2), keepdims=True)
    corners = np.where(longest < 0.01, centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.01, corners)
    order = np.argsort(-longest.ravel(), kind="stable")
    shapes = PolyCollection(list(corners[order]), facecolors=colours[order], edgecolors="white", linewidths=0.3)
    axes.set_aspect("equal")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=_BACKGROUND, edgecolor="#c8c4bc", zorder=0))
    axes.add_collection(shapes)
