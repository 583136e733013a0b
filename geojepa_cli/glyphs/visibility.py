"""Finds visibility edges between the parts (points, lines and rings) of one entity.

The native binary `geojepa-tiler` uses the same rule (docs/adr/0003).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 8  # number of candidates that are tested at once for each node


class _Points(NamedTuple):
    """Points with integer coordinates. x and y are separate arrays, because that is faster in NumPy."""

    x: Ints
    y: Ints

    def at(self, index: Ints) -> _Points:
        """Returns the points with the given indices."""
        return _Points(self.x[index], self.y[index])


def visibility_edges(nodes: Ints, parts: Ints, rings: Flags, per_node: int = 1) -> Ints:
    """Joins each node of an entity to the nearest visible nodes of other parts (points, lines or rings) of the entity.

    A segment is the straight line between two consecutive nodes of a part. Two nodes see each other if the straight
    line between them touches no segment, except at the two nodes themselves. A node that lies in the middle of a
    segment sees no other node. Of several nodes at the same distance, the node with the lowest index is used.

    Args:
        nodes: positions of the nodes, as integers below 2²⁴. [N, 2]
        parts: index of the first node of each part. The last value is the number of nodes. [P + 1]
        rings: True for parts whose last node is joined to the first node. [P]
        per_node: maximum number of visible nodes to which each node is joined.

    Returns:
        Edges as pairs of node indices, sorted and without duplicates. The lower index comes first. [E, 2]
    """
    points = _Points(*np.ascontiguousarray(nodes.T))
    part_of = np.repeat(np.arange(len(rings)), np.diff(parts))
    begin, end = _segments(points, parts, rings, part_of)
    blind = _inside(points.at(np.arange(len(nodes))[:, None]), begin, end).any(1)
    viewers = np.flatnonzero(~blind)
    seeing = points.at(viewers)
    distance = np.subtract.outer(seeing.x, seeing.x) ** 2 + np.subtract.outer(seeing.y, seeing.y) ** 2
    distance[part_of[viewers, None] == part_of[viewers]] = np.iinfo(np.int64).max
    order = np.argsort(distance, axis=1, kind="stable")
    candidates = (distance < np.iinfo(np.int64).max).sum(1)
    wanted = np.full(len(viewers), per_node)
    found: list[Ints] = []
    for rank in range(0, len(viewers), BLOCK):
        active = np.flatnonzero((wanted > 0) & (candidates > rank))
        if not len(active):
            break
        nearest = order[active, rank : rank + BLOCK]
        valid = np.arange(rank, rank + nearest.shape[1]) < candidates[active, None]
        a, b = seeing.at(active[:, None, None]), seeing.at(nearest[:, :, None])
        seen = valid & ~_blocked(a, b, begin, end).any(2)
        seen &= seen.cumsum(1) <= wanted[active, None]
        wanted[active] -= seen.sum(1)
        rows, columns = np.nonzero(seen)
        found.append(np.sort(viewers[np.stack([active[rows], nearest[rows, columns]], axis=1)], axis=1))
    return np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.int64)


def _segments(points: _Points, parts: Ints, rings: Flags, part_of: Ints) -> tuple[_Points, _Points]:
    """Returns the start points and the end points of all segments, including those that close the rings."""
    index = np.arange(len(part_of))
    last = index == parts[1:][part_of] - 1
    closes = rings[part_of] & (np.diff(parts)[part_of] > 2)
    following = np.where(last, parts[:-1][part_of], index + 1)
    kept = ~last | closes
    return points.at(index[kept]), points.at(following[kept])


def _cross(origin: _Points, a: _Points, b: _Points) -> Ints:
    """Returns twice the signed area of each triangle (origin, a, b)."""
    return np.asarray((a.x - origin.x) * (b.y - origin.y) - (a.y - origin.y) * (b.x - origin.x))


def _between(point: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns True for points between the ends of a segment. The points must lie on the line through the segment."""
    return np.asarray((point.x - begin.x) * (point.x - end.x) + (point.y - begin.y) * (point.y - end.y) < 0)


def _inside(point: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns True for points that lie on a segment, but not at one of its ends."""
    return np.asarray((_cross(point, begin, end) == 0) & _between(point, begin, end))


def _blocked(a: _Points, b: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns True for segments that block the line from node a to node b.

    Neither a nor b may lie in the middle of a segment.
    """
    side_begin, side_end = _cross(a, b, begin), _cross(a, b, end)
    apart = (side_begin < 0) != (side_end < 0)
    apart &= (side_begin != 0) & (side_end != 0)
    crossing = apart & ((_cross(begin, end, a) < 0) != (_cross(begin, end, b) < 0))
    touched = ((side_begin == 0) & _between(begin, a, b)) | ((side_end == 0) & _between(end, a, b))
    same = (_equal(begin, a) & _equal(end, b)) | (_equal(begin, b) & _equal(end, a))
    return np.asarray((crossing | touched | same) & ~_equal(a, b))


def _equal(p: _Points, q: _Points) -> Flags:
    return np.asarray((p.x == q.x) & (p.y == q.y))
