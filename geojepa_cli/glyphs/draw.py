"""Draws multipolygons in the shape of two-digit numbers, with the number as label.

Both digits have the same font. Each multipolygon is transformed by a random affine map, and gets visibility edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.config.geometry import GlyphConfig
from geojepa_cli.glyphs.outlines import TOLERANCES, Outline
from geojepa_cli.glyphs.visibility import visibility_edges
from geojepa_cli.nn.geometry.shapes import INNER, OUTER, Shapes

LOWEST = 10  # lowest number
CLASSES = 90  # numbers 10 to 99
LATTICE = 1 << 15  # side of a tile in integer coordinates, as in the native binary

Font = Sequence[Sequence[Outline]]  # for each digit, one outline per simplification tolerance
Family = Sequence[Font]  # all styles of a font family
Points = NDArray[np.float64]


class GlyphBatch(NamedTuple):
    """Multipolygons with their labels. The training loop counts each multipolygon as one tile with one token."""

    shapes: Shapes
    labels: Tensor  # int64 [T], number minus 10
    unseen: Tensor  # bool [T], True if training does not use the font

    @property
    def n_tiles(self) -> int:
        """Number of multipolygons. Each counts as one tile."""
        return len(self.labels)

    def to(self, device: torch.device | str) -> GlyphBatch:
        """Returns a copy on a device."""
        return GlyphBatch(self.shapes.to(device), self.labels.to(device), self.unseen.to(device))


class _Piece(NamedTuple):
    nodes: NDArray[np.int64]  # [N, 2] on the lattice
    parts: NDArray[np.int64]  # [P + 1]
    inner: NDArray[np.bool_]  # [P]
    edges: NDArray[np.int64]  # [E, 2]


def draw_batch(
    families: Sequence[Family], count: int, rates: GlyphConfig, rng: np.random.Generator, unseen: bool
) -> GlyphBatch:
    """Draws multipolygons in the shape of random numbers from 10 to 99.

    Number, font family, style and affine map are random. Both digits of a number have the same font family and style.

    Args:
        families: digit outlines of the font families. All families have the same probability.
        count: number of multipolygons.
        rates: ranges of the random affine maps, and of the gap between the digits.
        rng: random generator.
        unseen: True if training does not use these font families. The value is stored in the batch.
    """
    numbers = rng.integers(LOWEST, LOWEST + CLASSES, count)
    pieces = [_piece(families[int(rng.integers(len(families)))], int(number), rates, rng) for number in numbers]
    labels = torch.from_numpy(numbers - LOWEST)
    return GlyphBatch(_pack(pieces), labels, torch.full((count,), unseen))


def join(batches: Sequence[GlyphBatch]) -> GlyphBatch:
    """Joins several batches into one batch, in the given order."""
    shapes = [batch.shapes for batch in batches]
    first = [0, *np.cumsum([len(one.node_xy) for one in shapes])[:-1].tolist()]
    joined = Shapes(
        torch.cat([one.node_xy for one in shapes]),
        _offsets([one.node_offsets for one in shapes]),
        _offsets([one.part_offsets for one in shapes]),
        _offsets([one.part_node_offsets for one in shapes]),
        torch.cat([one.part_role for one in shapes]),
        torch.cat([one.edges + start for one, start in zip(shapes, first, strict=True)], dim=1),
        _offsets([one.edge_offsets for one in shapes]),
    )
    return GlyphBatch(joined, torch.cat([b.labels for b in batches]), torch.cat([b.unseen for b in batches]))


def affine(rates: GlyphConfig, rng: np.random.Generator) -> Points:
    """Returns the matrix of a random affine map, for points of digits with height 1. [2, 2]

    The map stretches one axis and shrinks the other, then shears, rotates, and scales to a size in tile units.

    Args:
        rates: ranges of these transformations.
        rng: random generator.
    """
    turn = np.deg2rad(rng.uniform(-rates.rotation_deg, rates.rotation_deg))
    shear = rng.uniform(-rates.shear, rates.shear)
    stretch = np.exp(rng.uniform(-1, 1) * np.log(rates.stretch))
    size = np.exp(rng.uniform(np.log(rates.size_low), np.log(rates.size_high)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(size * rotation @ np.array([[1, shear], [0, 1]]) @ np.diag([stretch, 1 / stretch]))


def _piece(family: Family, number: int, rates: GlyphConfig, rng: np.random.Generator) -> _Piece:
    font = family[int(rng.integers(len(family)))]
    level = int(rng.integers(len(TOLERANCES)))
    left, right = font[number // 10][level], font[number % 10][level]
    gap = rng.uniform(rates.gap_low, rates.gap_high)
    shift = np.array([left.width + gap, 0.0])
    rings = [*left.rings, *(ring + shift for ring in right.rings)]
    inner = np.array([*left.inner, *right.inner])
    nodes = np.concatenate(rings)
    matrix = affine(rates, rng)
    mapped = (nodes - nodes.mean(0)) @ matrix.T + rng.uniform(0.25, 0.75, 2)
    lattice = np.rint(mapped * LATTICE).astype(np.int64)
    parts = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])])
    edges = visibility_edges(lattice, parts, np.ones(len(rings), bool))
    return _Piece(lattice, parts, inner, edges)


def _pack(pieces: Sequence[_Piece]) -> Shapes:
    nodes = _starts([len(piece.nodes) for piece in pieces])
    edges = np.concatenate([piece.edges + start for piece, start in zip(pieces, nodes[:-1], strict=True)])
    roles = np.where(np.concatenate([piece.inner for piece in pieces]), INNER, OUTER).astype(np.uint8)
    return Shapes(
        torch.from_numpy(np.concatenate([piece.nodes for piece in pieces]).astype(np.float32) / LATTICE),
        torch.from_numpy(nodes),
        torch.from_numpy(_starts([len(piece.inner) for piece in pieces])),
        torch.from_numpy(_starts([int(size) for piece in pieces for size in np.diff(piece.parts)])),
        torch.from_numpy(roles),
        torch.from_numpy(np.ascontiguousarray(edges.T)),
        torch.from_numpy(_starts([len(piece.edges) for piece in pieces])),
    )


def _starts(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _offsets(parts: Sequence[Tensor]) -> Tensor:
    sizes = torch.cat([part.diff() for part in parts])
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
