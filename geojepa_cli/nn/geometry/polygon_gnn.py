"""PolygonGNN: a graph neural network that encodes the geometry of an entity as one vector.

This module requires the package torch-geometric.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, global_max_pool, global_mean_pool
from torch_geometric.utils import scatter

from geojepa_cli.nn.geometry.paths import (
    PATH_TYPES,
    VISIBLE,
    Paths,
    path_geometry,
    two_hop_paths,
)
from geojepa_cli.nn.geometry.shapes import Shapes

GEOMETRY = 4  # number of values that `path_geometry` returns for a path
ROLES = 4  # point, line, outer ring, inner ring
RELATIONS = 2  # edge along a line or ring, visibility edge


class PolygonGNN(nn.Module):
    """Encodes the geometry of each entity as one vector, by message passing between its nodes.

    An entity can be a point, a line, a polygon, or a relation with several of them. Messages are sent along paths of
    two edges (see `nn.geometry.paths`). The vector of an entity does not change if the entity is rotated, translated or
    scaled, and does not depend on the other entities in the batch. Source: PolygonGNN (Yu et al. 2024), sections 4.3
    and 4.4. Differences from the paper:

    - The initial vector of a node says if the node belongs to a point, a line, an outer ring or an inner ring. In the
      paper, the initial vector is zero.
    - Edges along a line or ring have two types, to the next and to the previous node.
    - The first layer of the message function is a sum of linear maps, one for each input. So most of the computation is
      done once per node instead of once per path.
    - Messages from paths with the same kinds of edges are averaged instead of summed. So the vector of a node with
      thousands of neighbours stays bounded.
    - Layers have residual connections, and LayerNorm instead of BatchNorm.
    - The vector of an entity is computed from the mean and the maximum of its node vectors instead of their sum. So it
      depends less on the number of nodes of a curve.

    Args:
        dim: dimension of node vectors and of entity vectors.
        depth: number of message-passing layers.
    """

    def __init__(self, dim: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.role = nn.Embedding(ROLES, dim)
        self.layers = nn.ModuleList(PathConv(dim) for _ in range(depth))
        self.readout = nn.Linear(2 * depth * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, shapes: Shapes) -> Tensor:
        """Returns one vector for each entity: float [T, dim]."""
        owner = shapes.node_entities()
        xy = normalise(shapes.node_xy, owner, shapes.n_entities)
        paths = two_hop_paths(shapes)
        geometry = _typed_geometry(paths, xy)
        weight = _path_weights(paths, len(xy))
        x = self.role(shapes.part_role[shapes.node_parts()].long())
        pooled: list[Tensor] = []
        for layer in self.layers:
            x = layer(x, paths, geometry, weight)
            pooled += [global_mean_pool(x, owner, shapes.n_entities), global_max_pool(x, owner, shapes.n_entities)]
        return self.norm(self.readout(torch.cat(pooled, dim=1)))


class PathConv(MessagePassing):  # type: ignore[misc]
    """Layer that updates node vectors with messages along paths i ← j ← k (Yu et al. 2024, equations 3 and 4).

    Args:
        dim: dimension of node vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(aggr="sum")
        self.input_norm = nn.LayerNorm(dim)
        self.near = nn.Linear(dim, dim)
        self.middle = nn.Linear(dim, RELATIONS * dim, bias=False)  # one matrix for each relation of the first edge
        self.far = nn.Linear(dim, RELATIONS * dim, bias=False)  # one matrix for each relation of the second edge
        self.geometry = nn.Linear(PATH_TYPES * (GEOMETRY + 1), dim, bias=False)
        self.combine = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor, paths: Paths, geometry: Tensor, weight: Tensor) -> Tensor:
        """Returns the updated node vectors: float [N, dim].

        Args:
            x: vector of each node. [N, dim]
            paths: paths of two edges.
            geometry: geometry of each path, as returned by `_typed_geometry`. [M, PATH_TYPES · (GEOMETRY + 1)]
            weight: weight of each path's message, as returned by `_path_weights`. [M, 1]
        """
        y = self.input_norm(x)
        messages = self.propagate(
            torch.stack([paths.k, paths.i]),
            near=self.near(y),
            middle=_pick(self.middle(y), paths.j, paths.first),
            far=_pick(self.far(y), paths.k, paths.second),
            geometry=self.geometry(geometry),
            weight=weight,
            size=(len(x), len(x)),
        )
        return x + self.combine(messages)

    def message(self, near_i: Tensor, middle: Tensor, far: Tensor, geometry: Tensor, weight: Tensor) -> Tensor:
        """Returns the message of each path: float [M, dim]."""
        return geometry.add_(near_i).add_(middle).add_(far).relu_() * weight  # in place, to save memory


def _pick(x: Tensor, node: Tensor, edge_type: Tensor) -> Tensor:
    """Selects, for each path, one of the two vectors of a node. Returns float [M, dim].

    Args:
        x: two vectors of each node, concatenated: the first for edges along a line or ring, the second for visibility
            edges. [N, RELATIONS · dim]
        node: for each path, the index of the node. int64 [M]
        edge_type: for each path, the type of the edge that decides which of the two vectors is selected. int64 [M]
    """
    rows = RELATIONS * node + (edge_type == VISIBLE)
    return x.view(RELATIONS * len(x), x.shape[1] // RELATIONS).index_select(0, rows)


def normalise(xy: Tensor, owner: Tensor, entities: int) -> Tensor:
    """Moves and scales the nodes of each entity, so that their mean is 0 and their mean squared distance from 0 is 1.

    If all nodes of an entity are at the same position, all of them are moved to 0. The published code of Yu et al. also
    normalises the size of geometries.

    Args:
        xy: positions of the nodes. [N, 2]
        owner: index of the entity to which each node belongs. [N]
        entities: number of entities.
    """
    centred = xy - scatter(xy, owner, 0, entities, "mean")[owner]
    radius = scatter(centred.square().sum(1), owner, 0, entities, "mean").sqrt()
    tiny = torch.finfo(xy.dtype).eps  # in tile units; far below the resolution of stored positions
    scale = torch.where(radius > tiny, 1.0 / radius.clamp_min(tiny), 0.0)
    return centred * scale[owner, None]


def _typed_geometry(paths: Paths, xy: Tensor) -> Tensor:
    """Returns the input of the linear layer `PathConv.geometry`: one row per path, with five columns per type of path.

    The five columns of the path's type have the four numbers of `path_geometry` and a 1. All other columns are 0. So
    the linear layer has separate weights and a separate bias for each type of path.
    """
    values = F.pad(path_geometry(paths, xy), (0, 1), value=1.0)
    return (F.one_hot(paths.type, PATH_TYPES).to(xy.dtype)[:, :, None] * values[:, None]).flatten(1)


def _path_weights(paths: Paths, nodes: int) -> Tensor:
    """Returns the weight of the message of each path: float [M, 1]. With these weights, a sum of messages is a mean.

    The weight is 1 / n, where n is the number of paths that send a message to the same node and have the same kinds of
    edges. There are two kinds of edges: edges along a line or ring, and visibility edges.
    """
    relations = RELATIONS * (paths.first == VISIBLE).long() + (paths.second == VISIBLE)
    group = RELATIONS**2 * paths.i + relations
    counts = torch.bincount(group, minlength=RELATIONS**2 * nodes)
    return 1.0 / counts[group].float()[:, None]
