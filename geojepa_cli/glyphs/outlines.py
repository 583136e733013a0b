"""Reads the outlines of digits from font files, and converts their curves to rings with few nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError

DIGITS = "0123456789"
# simplification tolerances, relative to the height of the digit; each tolerance gives one version of the outline
TOLERANCES = (0.006, 0.015, 0.03)
MIN_AREA = 2e-4  # minimum area of a ring, relative to the squared height; smaller rings are artefacts of the font

Points = NDArray[np.float64]


class Outline(NamedTuple):
    """Rings of one digit. Its bounding box has height 1 and its lower left corner at (0, 0)."""

    rings: tuple[Points, ...]  # each [n, 2]; outer rings are counter-clockwise, inner rings clockwise
    inner: tuple[bool, ...]  # for each ring, True if it is a hole

    @property
    def width(self) -> float:
        """Width of the digit, whose height is 1."""
        return float(max(ring[:, 0].max() for ring in self.rings))


def read_outlines(path: Path) -> list[list[Outline]] | None:
    """Reads the outlines of the digits 0 to 9 from a font file.

    Returns:
        For each digit, a list with one outline for each tolerance in `TOLERANCES`. If the font lacks one of the digits,
        or the rings of one cross (in some variable fonts, strokes overlap), None instead of the ten lists.

    Raises:
        DataError: the file is not a font.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.ft2font import FT2Font
    from matplotlib.textpath import TextPath

    try:
        charmap = FT2Font(str(path)).get_charmap()
    except (OSError, RuntimeError) as error:
        hint = hints.advice("remove the file, or change `glyphs.folder`")
        raise DataError(f"`{path}` is not a font: {error}", hint) from error
    if any(ord(digit) not in charmap for digit in DIGITS):
        return None
    found = []
    for digit in DIGITS:
        drawn = TextPath((0, 0), digit, size=1000, prop=FontProperties(fname=str(path)))
        rings = [np.asarray(ring, np.float64) for ring in drawn.to_polygons(closed_only=True)]
        levels = outlines_of(rings)
        if levels is None:
            return None
        found.append(levels)
    return found


def outlines_of(rings: list[Points]) -> list[Outline] | None:
    """Converts the closed rings of a digit to outlines, one for each tolerance in `TOLERANCES`.

    A ring inside an odd number of other rings is a hole. If simplification makes rings cross, the outline for the
    smallest tolerance is used instead.

    Returns:
        The outlines. None if there is no usable ring, or if the rings cross even with the smallest tolerance.
    """
    rings = [_open(ring) for ring in rings]
    if not rings:
        return None
    every = np.concatenate(rings)
    low, height = every.min(0), np.ptp(every[:, 1])
    if height <= 0:
        return None
    rings = [(ring - low) / height for ring in rings]
    rings = [ring for ring in rings if len(ring) > 2 and abs(signed_area(ring)) > MIN_AREA]
    if not rings:
        return None
    inner = [sum(contains(other, ring[0]) for other in rings if other is not ring) % 2 == 1 for ring in rings]
    turned = [ring if (signed_area(ring) < 0) == hole else ring[::-1] for ring, hole in zip(rings, inner, strict=True)]
    levels = [Outline(tuple(simplify(ring, size) for ring in turned), tuple(inner)) for size in TOLERANCES]
    fine = levels[0]
    if crossing(fine.rings):
        return None
    return [fine, *(fine if crossing(level.rings) else level for level in levels[1:])]


def signed_area(ring: Points) -> float:
    """Returns the area of a ring, positive if the ring is counter-clockwise (shoelace formula)."""
    x, y = (ring - ring[0]).T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def contains(ring: Points, point: Points) -> bool:
    """Returns True if a point lies inside a ring (even-odd rule)."""
    ahead = np.roll(ring, -1, axis=0)
    spans = (ring[:, 1] > point[1]) != (ahead[:, 1] > point[1])
    a, b = ring[spans], ahead[spans]
    x = a[:, 0] + (point[1] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return int((x > point[0]).sum()) % 2 == 1


def simplify(ring: Points, tolerance: float) -> Points:
    """Simplifies a ring with the algorithm of Douglas and Peucker (1973). Keeps at least three nodes.

    The first node and the node farthest from it are always kept. The two lines between these nodes are simplified
    separately.
    """
    far = int(((ring - ring[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    kept = np.zeros(len(closed), bool)
    kept[[0, far]] = True
    stack = [(0, far), (far, len(ring))]
    while stack:
        begin, end = stack.pop()
        if end - begin < 2:
            continue
        distance = _distance(closed[begin + 1 : end], closed[begin], closed[end])
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = begin + 1 + worst
            kept[middle] = True
            stack += [(begin, middle), (middle, end)]
    if kept[:-1].sum() < 3:
        kept[:-1][np.argsort(-_distance(ring, ring[0], ring[far]))[0]] = True
    return ring[kept[:-1]]


def crossing(rings: Sequence[Points]) -> bool:
    """Returns True if two segments of the rings cross. Segments that only touch at an end do not cross."""
    a = np.concatenate(rings)
    b = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    side = _cross(b[:, None] - a[:, None], a[None] - a[:, None]), _cross(b[:, None] - a[:, None], b[None] - a[:, None])
    apart = side[0] * side[1] < -1e-18
    return bool((apart & apart.T).any())


def _open(ring: Points) -> Points:
    """Returns a ring without nodes that equal the next node. The last node then differs from the first."""
    return np.asarray(ring[(ring != np.roll(ring, -1, axis=0)).any(1)])


def _distance(points: Points, a: Points, b: Points) -> Points:
    """Returns the distance of each point from the segment between a and b."""
    along = b - a
    squared = float(along @ along)
    share = np.clip((points - a) @ along / squared, 0.0, 1.0) if squared > 0 else np.zeros(len(points))
    return np.asarray(np.hypot(*(points - a - share[:, None] * along).T))


def _cross(u: Points, v: Points) -> Points:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])
