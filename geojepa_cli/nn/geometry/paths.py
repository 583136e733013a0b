"""Paths of two edges in the graph of an entity's nodes, as in PolygonGNN (Yu et al. 2024).

The graph has edges along the lines and rings of the entity, and visibility edges between nodes of different parts. A
part is a point, a line or a ring.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.geometry.shapes import OUTER, Shapes

# types of edges: to the next node of a line or ring, to the previous node, and to a visible node of another part
NEXT, PREVIOUS, VISIBLE = range(3)
EDGE_TYPES = 3
PATH_TYPES = EDGE_TYPES**2
MAX_VISIBLE = 2  # number of visibility edges of a path's middle node that can be the second edge of the path


class Edges(NamedTuple):
    """Directed edges of a graph, sorted by source node. For every edge, the reverse edge is included too."""

    source: Tensor  # int64 [E]
    target: Tensor  # int64 [E]
    type: Tensor  # int64 [E], NEXT, PREVIOUS or VISIBLE


class Paths(NamedTuple):
    """Paths of two edges, i ← j ← k. Node i receives a message from node k over node j. Node k is never node i."""

    i: Tensor  # int64 [M], node that receives the message of the path
    j: Tensor  # int64 [M], middle node
    k: Tensor  # int64 [M], node at the far end of the path
    first: Tensor  # int64 [M], type of the edge i → j
    second: Tensor  # int64 [M], type of the edge j → k

    @property
    def type(self) -> Tensor:
        """Type of each path: a number from 0 to `PATH_TYPES` - 1 that encodes the types of its edges. int64 [M]"""
        return self.first * EDGE_TYPES + self.second


def graph_edges(shapes: Shapes) -> Edges:
    """Returns the edges along lines and rings, and the visibility edges. Each edge is returned in both directions.

    A visibility edge joins two nodes of different parts of an entity (points, lines or rings) that see each other.
    Edges between two nodes at the same position are included. The two nodes of a ring with only two nodes are joined by
    one edge. A part with only one node has no edge along it.
    """
    nodes = torch.arange(len(shapes.node_xy), device=shapes.node_xy.device)
    part = shapes.node_parts()
    begin, end = shapes.part_node_offsets[part], shapes.part_node_offsets[part + 1]
    last = nodes == end - 1
    following = torch.where(last, begin, nodes + 1)
    closed = (shapes.part_role >= OUTER)[part] & (end - begin > 2)
    kept = ~last | closed
    here, there = nodes[kept], following[kept]
    a, b = shapes.edges
    source, target = torch.cat([here, there, a, b]), torch.cat([there, here, b, a])
    types = [(here, NEXT), (here, PREVIOUS), (a, VISIBLE), (b, VISIBLE)]
    kind = torch.cat([torch.full_like(rows, number) for rows, number in types])
    order = torch.argsort(source, stable=True)
    return Edges(source[order], target[order], kind[order])


def two_hop_paths(shapes: Shapes) -> Paths:
    """Returns the paths of two edges, i ← j ← k.

    The edge between i and j can be any edge. The edge between j and k must be an edge along a line or ring, or one of
    the `MAX_VISIBLE` shortest visibility edges of j. This limit keeps the number of paths proportional to the number of
    edges, even if thousands of nodes see the same node. For the same purpose, Yu et al. use only the visibility edges
    of a random spanning tree of the entity's parts.
    """
    edges = graph_edges(shapes)
    hops = _second_hops(edges, shapes.node_xy)
    counts = torch.bincount(hops.source, minlength=len(shapes.node_xy))
    starts = counts.cumsum(0) - counts
    repeats = counts[edges.target]
    total = int(repeats.sum())
    first = torch.arange(len(edges.source), device=repeats.device).repeat_interleave(repeats, output_size=total)
    begin = (repeats.cumsum(0) - repeats)[first]
    second = starts[edges.target[first]] + torch.arange(total, device=repeats.device) - begin
    i, j, k = edges.source[first], edges.target[first], hops.target[second]
    kept = i != k
    return Paths(i[kept], j[kept], k[kept], edges.type[first][kept], hops.type[second][kept])


def path_geometry(paths: Paths, xy: Tensor) -> Tensor:
    """Returns four numbers for each path i ← j ← k: the lengths of both edges, and cosine and sine of their angle.

    The angle is signed: it is measured from the direction j → i to the direction j → k. Cosine and sine are 0 if an
    edge has length 0. The four numbers do not change if all nodes are rotated and translated together (Yu et al. 2024,
    equation 1). Yu et al. use the angle itself, which is not continuous at ±π.

    Args:
        paths: paths in the graph.
        xy: positions of the nodes. [N, 2]

    Returns:
        Distance from i to j, distance from j to k, cosine, and sine. float [M, 4]
    """
    to_i, to_k = xy[paths.i] - xy[paths.j], xy[paths.k] - xy[paths.j]
    d_ij, d_jk = to_i.norm(dim=1), to_k.norm(dim=1)
    product = (d_ij * d_jk).clamp_min(torch.finfo(xy.dtype).tiny)
    cosine = (to_i * to_k).sum(1) / product
    sine = (to_i[:, 0] * to_k[:, 1] - to_i[:, 1] * to_k[:, 0]) / product
    return torch.stack([d_ij, d_jk, cosine, sine], dim=1)


def _second_hops(edges: Edges, xy: Tensor) -> Edges:
    """Returns the edges that can join the nodes j and k of a path i ← j ← k, see `two_hop_paths`."""
    visible = (edges.type == VISIBLE).nonzero()[:, 0]
    source = edges.source[visible]
    length = (xy[edges.target[visible]] - xy[source]).norm(dim=1)
    by_length = torch.argsort(length, stable=True)
    order = by_length[torch.argsort(source[by_length], stable=True)]
    counts = torch.bincount(source, minlength=len(xy))
    rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[source[order]]
    kept = edges.type != VISIBLE
    kept[visible[order[rank < MAX_VISIBLE]]] = True
    return Edges(edges.source[kept], edges.target[kept], edges.type[kept])
