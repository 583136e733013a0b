"""Batches of geometry made from shapely geometries or lists of parts, for tests of the geometry encoders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely
import torch
from torch import Tensor

POINT, LINE, OUTER, INNER = range(4)
Part = tuple[int, np.ndarray]  # role, and nodes [n, 2]


class Geometry(NamedTuple):
    """The tensors that geometry encoders read (`nn.geometry.tensors.GeometryTensors`)."""

    node_xy: Tensor | None
    node_offsets: Tensor | None
    part_offsets: Tensor | None
    part_node_offsets: Tensor | None
    part_role: Tensor | None


def parts_of(shape: shapely.Geometry) -> list[Part]:
    """The parts of a geometry or of a collection. Rings do not repeat their first node."""
    if shape.geom_type == "Point":
        return [(POINT, shapely.get_coordinates(shape))]
    if shape.geom_type == "LineString":
        return [(LINE, shapely.get_coordinates(shape))]
    if shape.geom_type == "Polygon":
        rings = [(OUTER, shape.exterior), *((INNER, ring) for ring in shape.interiors)]
        return [(role, shapely.get_coordinates(ring)[:-1]) for role, ring in rings]
    return [part for member in shape.geoms for part in parts_of(member)]


def batch_of(entities: Sequence[shapely.Geometry | list[Part]], dtype: torch.dtype = torch.float64) -> Geometry:
    """A batch of entities, in their order."""
    parts = [parts_of(entity) if isinstance(entity, shapely.Geometry) else entity for entity in entities]
    flat = [part for entity in parts for part in entity]
    xy = np.concatenate([np.empty((0, 2)), *(np.reshape(nodes, (-1, 2)) for _, nodes in flat)])
    return Geometry(
        node_xy=torch.from_numpy(xy).to(dtype),
        node_offsets=_offsets([sum(len(nodes) for _, nodes in entity) for entity in parts]),
        part_offsets=_offsets([len(entity) for entity in parts]),
        part_node_offsets=_offsets([len(nodes) for _, nodes in flat]),
        part_role=torch.tensor([role for role, _ in flat], dtype=torch.uint8),
    )


def entities_of(batch: Geometry) -> list[list[Part]]:
    """The parts of every entity of a batch, by a plain loop."""
    xy, ends, roles = batch.node_xy, batch.part_node_offsets, batch.part_role
    assert xy is not None and ends is not None and roles is not None and batch.part_offsets is not None
    flat = [(int(role), xy[a:b].double().numpy()) for role, (a, b) in zip(roles, pairwise(ends.tolist()), strict=True)]
    return [flat[a:b] for a, b in pairwise(batch.part_offsets.tolist())]


def shape_of(parts: list[Part]) -> shapely.Geometry:
    """The points, lines or polygons of an entity whose parts are all of one kind, as a shapely geometry."""
    if parts[0][0] == POINT:
        return shapely.MultiPoint(np.concatenate([nodes for _, nodes in parts]))
    if parts[0][0] == LINE:
        return shapely.MultiLineString([nodes for _, nodes in parts])
    outer = shapely.union_all([shapely.Polygon(nodes) for role, nodes in parts if role == OUTER])
    return outer.difference(shapely.union_all([shapely.Polygon(nodes) for role, nodes in parts if role == INNER]))


def star(rng: np.random.Generator, centre: tuple[float, float], radius: float, corners: int) -> np.ndarray:
    """A simple ring, star-shaped around its centre. [corners, 2]"""
    angle = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * 2 * math.pi / corners
    reach = radius * rng.uniform(0.5, 1, corners)
    return np.array(centre) + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def random_shape(kind: str, seed: int) -> shapely.Geometry:
    """Several points, several lines, or two polygons of which one has a hole."""
    rng = np.random.default_rng(seed)
    if kind == "points":
        return shapely.MultiPoint(rng.uniform(0, 1, (rng.integers(1, 6), 2)))
    if kind == "lines":
        return shapely.MultiLineString([rng.uniform(0, 1, (n, 2)) for n in rng.integers(2, 6, 2)])
    holed = shapely.Polygon(star(rng, (0.3, 0.4), 0.25, 9), [star(rng, (0.3, 0.4), 0.05, 5)])
    return shapely.MultiPolygon([holed, shapely.Polygon(star(rng, (0.8, 0.7), 0.15, int(rng.integers(4, 12))))])


def _offsets(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *np.cumsum(list(lengths), dtype=np.int64).tolist()])
