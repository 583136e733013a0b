"""PolygonGNN: graph neural network that encodes the geometry of an entity as one vector.

Importing this module needs torch-geometric.
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

GEOMETRY = 4  # values of `path_geometry`
ROLES = 4  # point, line, outer ring, inner ring
RELATIONS = 2  # edge along a part, visibility edge


class PolygonGNN(nn.Module):
    """Encodes points, lines, polygons and relations by message passing over two-hop paths.

    Source: PolygonGNN (Yu et al. 2024), sections 4.3 and 4.4. The vector of an entity does not change when the
    entity is rotated, translated or scaled, and does not depend on other entities in the batch.

    Differences from the paper: a node starts with the role of its part instead of zeros. Edges along a part know their
    direction. The first layer of the message function is a sum of linear maps of its inputs, so most of the work is
    done per node instead of per path. Messages are averaged by type of path instead of summed, which bounds the vector
    of a node with thousands of neighbours. Layers are residual with LayerNorm instead of BatchNorm. The readout is
    mean and maximum over the nodes instead of their sum, so the number of nodes of a curve matters less.

    Args:
        dim: dimension of node vectors and of the result.
        depth: number of message-passing layers.
    """

    def __init__(self, dim: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.role = nn.Embedding(ROLES, dim)
        self.layers = nn.ModuleList(PathConv(dim) for _ in range(depth))
        self.readout = nn.Linear(2 * depth * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, shapes: Shapes) -> Tensor:
        """Returns one vector per entity: float [T, dim]."""
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
    """Message-passing layer over two-hop paths i ← j ← k (Yu et al. 2024, equations 3 and 4).

    Args:
        dim: dimension of node vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(aggr="sum")
        self.input_norm = nn.LayerNorm(dim)
        self.near = nn.Linear(dim, dim)
        self.middle = nn.Linear(dim, RELATIONS * dim, bias=False)  # one matrix per relation of the first edge
        self.far = nn.Linear(dim, RELATIONS * dim, bias=False)  # one matrix per relation of the second edge
        self.geometry = nn.Linear(PATH_TYPES * (GEOMETRY + 1), dim, bias=False)
        self.combine = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor, paths: Paths, geometry: Tensor, weight: Tensor) -> Tensor:
        """Returns the updated node vectors: float [N, dim].

        Args:
            x: node vectors. [N, dim]
            paths: two-hop paths.
            geometry: geometry of each path, in the columns of its type. [M, PATH_TYPES · (GEOMETRY + 1)]
            weight: weight of each path in the sum over the paths of a node. [M, 1]
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
        return geometry.add_(near_i).add_(middle).add_(far).relu_() * weight  # in place: the largest tensors


def _pick(x: Tensor, node: Tensor, edge_type: Tensor) -> Tensor:
    """Selects, for each path, the vector of a node under the matrix of an edge's relation: float [M, dim]."""
    rows = RELATIONS * node + (edge_type == VISIBLE)
    return x.view(RELATIONS * len(x), x.shape[1] // RELATIONS).index_select(0, rows)


def normalise(xy: Tensor, owner: Tensor, entities: int) -> Tensor:
    """Moves each entity's nodes to mean 0 and scales them to mean squared radius 1.

    The published code of Yu et al. normalises the extent too. An entity whose nodes are all at the same place gets
    zeros.

    Args:
        xy: positions of the nodes. [N, 2]
        owner: index of each node's entity. [N]
        entities: number of entities.
    """
    centred = xy - scatter(xy, owner, 0, entities, "mean")[owner]
    radius = scatter(centred.square().sum(1), owner, 0, entities, "mean").sqrt()
    tiny = torch.finfo(xy.dtype).eps  # positions are in tile units, so this is far below the step of the lattice
    scale = torch.where(radius > tiny, 1.0 / radius.clamp_min(tiny), 0.0)
    return centred * scale[owner, None]


def _typed_geometry(paths: Paths, xy: Tensor) -> Tensor:
    """Returns the geometry of each path and a 1, in the columns of the path's type. The other columns are 0."""
    values = F.pad(path_geometry(paths, xy), (0, 1), value=1.0)
    return (F.one_hot(paths.type, PATH_TYPES).to(xy.dtype)[:, :, None] * values[:, None]).flatten(1)


def _path_weights(paths: Paths, nodes: int) -> Tensor:
    """Returns 1 / number of paths with the same last node and the same relations, for each path: float [M, 1]."""
    relations = RELATIONS * (paths.first == VISIBLE).long() + (paths.second == VISIBLE)
    group = RELATIONS**2 * paths.i + relations
    counts = torch.bincount(group, minlength=RELATIONS**2 * nodes)
    return 1.0 / counts[group].float()[:, None]
