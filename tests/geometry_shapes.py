"""Small geometries for tests of geometry encoders, and readers of real ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from geojepa_cli.nn.geometry.shapes import INNER, LINE, OUTER, POINT, Shapes

Part = tuple[int, list[tuple[float, float]]]

SQUARE: list[Part] = [(OUTER, [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)])]
HOLE: list[Part] = [*SQUARE, (INNER, [(0.3, 0.3), (0.3, 0.5), (0.5, 0.5), (0.5, 0.3)])]
WAY: list[Part] = [(LINE, [(0.1, 0.1), (0.3, 0.15), (0.35, 0.4), (0.8, 0.5)])]
NODE: list[Part] = [(POINT, [(0.7, 0.1)])]
RELATION: list[Part] = [*WAY, *NODE, (LINE, [(0.8, 0.5), (0.9, 0.9)])]

# visibility edges of the entities above, as pairs of the entity's nodes
HOLE_EDGES = [(0, 4), (1, 7), (2, 6), (3, 5)]
RELATION_EDGES = [(1, 4), (3, 5)]


def shapes_of(entities: Sequence[list[Part]], edges: Sequence[list[tuple[int, int]]] | None = None) -> Shapes:
    """Packs entities, given as parts with their roles and nodes."""
    edges = edges or [[] for _ in entities]
    sizes = [sum(len(nodes) for _, nodes in parts) for parts in entities]
    starts = _starts(sizes)
    pairs = [(a + int(start), b + int(start)) for found, start in zip(edges, starts, strict=False) for a, b in found]
    return Shapes(
        torch.tensor([xy for parts in entities for _, nodes in parts for xy in nodes]),
        starts,
        _starts([len(parts) for parts in entities]),
        _starts([len(nodes) for parts in entities for _, nodes in parts]),
        torch.tensor([role for parts in entities for role, _ in parts], dtype=torch.uint8),
        torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
        _starts([len(found) for found in edges]),
    )


def mixed() -> Shapes:
    """A point, a line, a polygon, a polygon with a hole, and a relation."""
    return shapes_of([NODE, WAY, SQUARE, HOLE, RELATION], [[], [], [], HOLE_EDGES, RELATION_EDGES])


def _starts(counts: Sequence[int]) -> torch.Tensor:
    return torch.tensor([0, *counts], dtype=torch.int64).cumsum(0)
