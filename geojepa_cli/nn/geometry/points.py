"""Draws points on the geometry of entities: inside areas, along lines, or at points."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.geometry.shapes import OUTER
from geojepa_cli.nn.packing import cu_from_lengths, ragged_arange

CANDIDATES = 16  # points of the bounding box that are tried for an area


class Draws(NamedTuple):
    """Numbers from 0 to 1 that decide which points are drawn.

    Attributes:
        along: place along a line. float64 [Q]
        inside: places in the bounding box of an area, which are tried one after the other. float64 [Q, C, 2]
    """

    along: Tensor
    inside: Tensor

    @classmethod
    def random(cls, count: int, rng: torch.Generator) -> Draws:
        """Returns random numbers for `count` points, on the CPU."""
        along = torch.rand(count, generator=rng, dtype=torch.float64)
        return cls(along, torch.rand(count, CANDIDATES, 2, generator=rng, dtype=torch.float64))

    @classmethod
    def regular(cls, entities: int, points: int) -> Draws:
        """Returns the same numbers for each entity, so that the points do not depend on other entities.

        The points of an entity are spread evenly: along a line in equal steps, in a box by the additive recurrence with
        the plastic number.

        Args:
            entities: number of entities.
            points: number of points of each entity. The points of an entity follow one another.
        """
        number = torch.arange(points * CANDIDATES, dtype=torch.float64).view(CANDIDATES, points).t()
        plastic = 1.32471795724474602596
        inside = torch.stack([number / plastic, number / plastic**2], dim=2).add(0.5).frac()
        along = (torch.arange(points, dtype=torch.float64) + 0.5) / points
        return cls(along.repeat(entities), inside.repeat(entities, 1, 1))

    def to(self, device: torch.device | str) -> Draws:
        """Returns a copy on a device."""
        return Draws(self.along.to(device), self.inside.to(device))


class Outlines(NamedTuple):
    """Geometry of the entities of a batch: the fields of `TileBatch` with the same names, and their boxes."""

    node_xy: Tensor  # float [N, 2] in tile units
    node_offsets: Tensor  # int64 [T + 1], first node of each entity
    part_node_offsets: Tensor  # int64 [P + 1], first node of each part
    part_role: Tensor  # uint8 [P], 0 point, 1 line, 2 outer ring, 3 inner ring
    box: Tensor  # float [T, 8], four corners (x, y) of the bounding rectangle


def draw_points(outlines: Outlines, entity: Tensor, draws: Draws) -> Tensor:
    """Draws one point on the geometry of each given entity.

    - An entity with rings: the first of the given places in its bounding rectangle that lies inside its rings. So the
      points are distributed uniformly over the area. If all places lie outside, as for a thin area, the point is on a
      ring.
    - An entity with lines: a point on a line. The points are distributed uniformly over the length.
    - An entity with points: one of the points.
    - An entity without nodes, such as an area that covers the tile: the first place in the bounding rectangle.

    Args:
        outlines: geometry of all entities of the batch.
        entity: index of the entity of each point. int64 [Q]
        draws: numbers that decide which points are drawn.
    Returns:
        Points in tile units. float64 [Q, 2]
    """
    counts = outlines.node_offsets.diff().index_select(0, entity)
    starts = outlines.node_offsets.index_select(0, entity)
    node = ragged_arange(starts, counts)
    owner = torch.arange(len(entity), device=node.device).repeat_interleave(counts)
    here, there, in_ring = _edges(outlines, node)
    tried = _in_boxes(outlines.box.index_select(0, entity).double(), draws.inside)  # [Q, C, 2]
    inside = _inside(here[in_ring], there[in_ring], owner[in_ring], tried)
    first = inside.to(torch.uint8).argmax(1)
    chosen = tried[torch.arange(len(entity), device=node.device), first]
    outline = _along(here, there, cu_from_lengths(counts), draws.along)
    drawn = torch.where(inside.any(1)[:, None], chosen, outline)
    return torch.where((counts > 0)[:, None], drawn, tried[:, 0])


def _edges(outlines: Outlines, node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the edge from each node to the next node of its part.

    The edge of the last node of a ring leads to the first node. The last node of a line, and a point, has an edge of
    length 0.

    Returns:
        Position of the node and of the next node, float64 [n, 2] each, and True for nodes of rings, bool [n].
    """
    ends = outlines.part_node_offsets.long()
    part = torch.searchsorted(ends[1:].contiguous(), node, right=True)
    in_ring = (outlines.part_role >= OUTER).index_select(0, part)
    last = node == ends[1:].index_select(0, part) - 1
    following = torch.where(last, torch.where(in_ring, ends.index_select(0, part), node), node + 1)
    xy = outlines.node_xy.double()
    return xy.index_select(0, node), xy.index_select(0, following), in_ring


def _in_boxes(box: Tensor, place: Tensor) -> Tensor:
    """Converts places in rectangles to positions. [Q, 8], [Q, C, 2] -> [Q, C, 2]"""
    corner, first, last = box[:, None, :2], box[:, None, 2:4], box[:, None, 6:]
    return corner + place[..., :1] * (first - corner) + place[..., 1:] * (last - corner)


def _inside(here: Tensor, there: Tensor, owner: Tensor, points: Tensor) -> Tensor:
    """Returns True for each point inside the rings of its entity, by the even-odd rule.

    Args:
        here, there: ends of the edges of rings. [n, 2]
        owner: index of the entity of each edge. int64 [n]
        points: points to test, C for each of the Q entities. [Q, C, 2]
    Returns:
        bool [Q, C]
    """
    x, y = points.index_select(0, owner).unbind(2)  # [n, C]
    (x1, y1), (x2, y2) = here.t()[..., None], there.t()[..., None]
    crosses = (y1 > y) != (y2 > y)
    rise = torch.where(y1 == y2, 1.0, y2 - y1)
    to_the_east = x < (x2 - x1) * (y - y1) / rise + x1
    counts = torch.zeros(points.shape[:2], dtype=torch.int64, device=points.device)
    counts.index_add_(0, owner, (crosses & to_the_east).long())
    return counts % 2 == 1


def _along(here: Tensor, there: Tensor, cu_edges: Tensor, along: Tensor) -> Tensor:
    """Returns a point on the edges of each entity, at a share of their total length.

    If all edges have length 0, the share selects one of them.

    Args:
        here, there: ends of the edges, entity by entity. float64 [n, 2]
        cu_edges: cumulative numbers of edges. int64 [Q + 1]
        along: share of the length. float64 [Q]
    Returns:
        Points; zeros for an entity without edges. float64 [Q, 2]
    """
    counts = cu_edges.diff()
    if not len(here):
        return here.new_zeros(len(counts), 2)
    length = (there - here).norm(dim=1)
    total = length.new_zeros(len(counts)).index_add_(0, _owners(counts), length)
    # entities without length: every edge, which is one point, counts the same
    length = torch.where((total == 0).repeat_interleave(counts), 1.0, length)
    ends = length.cumsum(0)
    before = torch.cat([ends.new_zeros(1), ends])
    begin, end = before.index_select(0, cu_edges[:-1]), before.index_select(0, cu_edges[1:])
    goal = begin + along * (end - begin)
    edge = torch.searchsorted(ends, goal, right=True)
    edge = torch.minimum(torch.maximum(edge, cu_edges[:-1]), (cu_edges[1:] - 1).clamp_min(0))
    edge = edge.clamp_max(len(here) - 1)
    share = ((goal - before.index_select(0, edge)) / length.index_select(0, edge).clamp_min(1e-12)).clamp(0, 1)
    start = here.index_select(0, edge)
    point = start + share[:, None] * (there.index_select(0, edge) - start)
    return torch.where((counts > 0)[:, None], point, 0.0)


def _owners(counts: Tensor) -> Tensor:
    return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
