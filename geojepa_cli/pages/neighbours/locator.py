"""Draws overview maps of all searched tiles, on which the query and its neighbours are marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.results import SearchResult

SIZE = 420.0
_MARGIN = 16.0
# tiles with a wider gap between them are drawn on separate maps, because distant cities would be too small on one map
_GAP_DEG = 0.2
MAX_PANELS = 4


def draw_locator(results: Sequence[SearchResult], bounds: NDArray[np.float64]) -> str:
    """Draws overview maps of the searched tiles, on which the query and its neighbours are marked.

    Each mark is a link to the card `#place-N` of the result with rank N. Searched tiles that lie close together form a
    cluster. One map is drawn for each cluster that contains the query or a neighbour. At most `MAX_PANELS` maps are
    drawn. The map with the query comes first.

    Args:
        results: query (rank 0) and its neighbours.
        bounds: west, south, east and north of each searched tile, in degrees. float64 [n, 4]

    Returns:
        `<svg>` elements as text.
    """
    panels = find_clusters(np.asarray(bounds, np.float64))
    drawn = []
    for panel in panels:
        west, south = panel[:, 0].min(), panel[:, 1].min()
        east, north = panel[:, 2].max(), panel[:, 3].max()
        inside = [r for r in results if west <= r.lon <= east and south <= r.lat <= north]
        if inside:
            drawn.append((min(r.rank for r in inside), _panel(inside, panel)))
    return "".join(svg for _, svg in sorted(drawn, key=lambda entry: entry[0])[:MAX_PANELS])


def _panel(results: Sequence[SearchResult], bounds: NDArray[np.float64]) -> str:
    south, north = bounds[:, 1].min(), bounds[:, 3].max()
    west, east = bounds[:, 0].min(), bounds[:, 2].max()
    squeeze = float(np.cos(np.radians((south + north) / 2)))
    scale = (SIZE - 2 * _MARGIN) / max((east - west) * squeeze, north - south)
    width, height = (east - west) * squeeze * scale + 2 * _MARGIN, (north - south) * scale + 2 * _MARGIN

    def at(lon: float, lat: float) -> tuple[float, float]:
        return _MARGIN + (lon - west) * squeeze * scale, _MARGIN + (north - lat) * scale

    squares = []
    for w, s, e, n in bounds.tolist():
        (x0, y0), (x1, y1) = at(w, n), at(e, s)
        squares.append(f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z")
    marks = []
    for result in sorted(results, key=lambda result: -result.rank):  # the query is painted last
        x, y = at(result.lon, result.lat)
        text = "Q" if result.rank == 0 else str(result.rank)
        label = f"{'query' if result.rank == 0 else f'result {result.rank}'}, tile {result.tile}"
        kind = "place q" if result.rank == 0 else "place"
        marks.append(
            f'<a class="{kind}" href="#place-{result.rank}" aria-label="{label}"><title>{label}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<text class="mark" x="{x:.1f}" y="{y + 3.6:.1f}">{text}</text></a>'
        )
    return (
        f'<svg class="locator" viewBox="0 0 {width:.1f} {height:.1f}" role="group" aria-label="map of the results">'
        f'<path class="tiles" d="{"".join(squares)}"/>{"".join(marks)}</svg>'
    )


def find_clusters(bounds: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Divides tiles, given by their bounds, into clusters at gaps of more than `_GAP_DEG` degrees.

    First, the tiles are divided at gaps between their west edges. Then, each part is divided at gaps between the south
    edges. Returns the bounds of the tiles of each cluster.
    """
    clusters = [bounds] if len(bounds) else []
    for axis in (0, 1):
        split = []
        for cluster in clusters:
            ordered = cluster[np.argsort(cluster[:, axis], kind="stable")]
            cuts = np.flatnonzero(np.diff(ordered[:, axis]) > _GAP_DEG) + 1
            split.extend(np.split(ordered, cuts))
        clusters = split
    return clusters
