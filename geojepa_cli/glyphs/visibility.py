"""Visibility edges between the parts of one entity, by the rule of the native binary (docs/adr/0003)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 8  # candidates of a viewer that are tested at once


class _Points(NamedTuple):
    """Points on a lattice, with separate coordinates, because NumPy is fast on contiguous arrays only."""

    x: Ints
    y: Ints

    def at(self, index: Ints) -> _Points:
        """Returns the points at an index of the arrays."""
        return _Points(self.x[index], self.y[index])


def visibility_edges(nodes: Ints, parts: Ints, rings: Flags, per_node: int = 1) -> Ints:
    """Joins each node to the nearest visible nodes of other parts.

    Two nodes see each other if the straight line between them has no point in common with any segment of any part,
    except a shared end. A node inside a segment sees nothing. Of equal distances, the lower node number wins.

    Args:
        nodes: positions on a lattice, with coordinates below 2²⁴. [N, 2]
        parts: first node of each part, then the number of nodes. [P + 1]
        rings: True for parts whose last node is joined to the first. [P]
        per_node: number of visible nodes that each node is joined to.

    Returns:
        Edges, the lower node first, sorted and unique. [E, 2]
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
    """Returns the first and second ends of all segments, with the closing segments of rings."""
    index = np.arange(len(part_of))
    last = index == parts[1:][part_of] - 1
    closes = rings[part_of] & (np.diff(parts)[part_of] > 2)
    following = np.where(last, parts[:-1][part_of], index + 1)
    kept = ~last | closes
    return points.at(index[kept]), points.at(following[kept])


def _cross(origin: _Points, a: _Points, b: _Points) -> Ints:
    """Returns twice the signed area of the triangles (origin, a, b)."""
    return np.asarray((a.x - origin.x) * (b.y - origin.y) - (a.y - origin.y) * (b.x - origin.x))


def _between(point: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns whether points on the lines of segments lie between their ends."""
    return np.asarray((point.x - begin.x) * (point.x - end.x) + (point.y - begin.y) * (point.y - end.y) < 0)


def _inside(point: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns whether points lie on segments, but not at an end."""
    return np.asarray((_cross(point, begin, end) == 0) & _between(point, begin, end))


def _blocked(a: _Points, b: _Points, begin: _Points, end: _Points) -> Flags:
    """Returns whether segments block the line from a to b, where a and b lie inside no segment."""
    side_begin, side_end = _cross(a, b, begin), _cross(a, b, end)
    apart = (side_begin < 0) != (side_end < 0)
    apart &= (side_begin != 0) & (side_end != 0)
    crossing = apart & ((_cross(begin, end, a) < 0) != (_cross(begin, end, b) < 0))
    touched = ((side_begin == 0) & _between(begin, a, b)) | ((side_end == 0) & _between(end, a, b))
    same = (_equal(begin, a) & _equal(end, b)) | (_equal(begin, b) & _equal(end, a))
    return np.asarray((crossing | touched | same) & ~_equal(a, b))


def _equal(p: _Points, q: _Points) -> Flags:
    return np.asarray((p.x == q.x) & (p.y == q.y))
