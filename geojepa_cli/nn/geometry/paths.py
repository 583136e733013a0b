"""Two-hop paths in the heterogeneous visibility graph of entities, after PolygonGNN (Yu et al. 2024)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.geometry.shapes import OUTER, Shapes

# edge types: to the next node of a part, to the previous node, and to a visible node of another part
NEXT, PREVIOUS, VISIBLE = range(3)
EDGE_TYPES = 3
PATH_TYPES = EDGE_TYPES**2
MAX_VISIBLE = 2  # visibility edges of a path's middle node that the second hop can follow


class Edges(NamedTuple):
    """Directed edges, sorted by source node. Every edge has its reverse."""

    source: Tensor  # int64 [E]
    target: Tensor  # int64 [E]
    type: Tensor  # int64 [E], NEXT, PREVIOUS or VISIBLE


class Paths(NamedTuple):
    """Paths i ← j ← k of two edges, with i ≠ k."""

    i: Tensor  # int64 [M], node that receives the message
    j: Tensor  # int64 [M], middle node
    k: Tensor  # int64 [M], far node
    first: Tensor  # int64 [M], type of the edge i → j
    second: Tensor  # int64 [M], type of the edge j → k

    @property
    def type(self) -> Tensor:
        """Number of each path's pair of edge types: int64 [M]."""
        return self.first * EDGE_TYPES + self.second


def graph_edges(shapes: Shapes) -> Edges:
    """Returns the edges along lines and rings, and the visibility edges, in both directions.

    Edges between nodes at the same place are kept. A ring of two nodes has one edge, a part of one node has none.
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
    """Returns the paths of two edges that end in each node.

    The second hop follows all edges along the part, but only the `MAX_VISIBLE` shortest visibility edges of the middle
    node. So the number of paths is proportional to the number of edges, also where thousands of nodes see the same
    node. (Yu et al. draw a random spanning tree of visibility edges over the parts for the same purpose.)
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
    """Returns the geometry of each path: both distances, and cosine and sine of the signed angle at the middle node.

    The values do not change when all nodes are rotated and translated together (Yu et al. 2024, equation 1). The angle
    is measured from j → i to j → k. Cosine and sine are 0 if two nodes of the path are at the same place. Yu et al. use
    the angle itself, which is not continuous at ±π.

    Args:
        paths: paths in the graph.
        xy: positions of the nodes. [N, 2]

    Returns:
        float [M, 4]
    """
    to_i, to_k = xy[paths.i] - xy[paths.j], xy[paths.k] - xy[paths.j]
    d_ij, d_jk = to_i.norm(dim=1), to_k.norm(dim=1)
    product = (d_ij * d_jk).clamp_min(torch.finfo(xy.dtype).tiny)
    cosine = (to_i * to_k).sum(1) / product
    sine = (to_i[:, 0] * to_k[:, 1] - to_i[:, 1] * to_k[:, 0]) / product
    return torch.stack([d_ij, d_jk, cosine, sine], dim=1)


def _second_hops(edges: Edges, xy: Tensor) -> Edges:
    """Returns the edges that a second hop can follow: all along parts, and the shortest visibility edges of a node."""
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
