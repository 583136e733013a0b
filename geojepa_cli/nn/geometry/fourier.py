"""Fourier transform of points, lines and polygons in closed form (Poly2Vec, Siampou et al. 2025)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.geometry.tensors import INNER, LINE, OUTER, GeometryTensors
from geojepa_cli.nn.packing import lengths_of, segment_ids

CHUNK_VALUES = 2**19  # values of a temporary tensor: 4 MB in float64
MIN_AREA = 1e-9  # relative to the squared perimeter; below it, rounding would dominate, and rings count as lines


class FourierGeometry:
    """Geometry encoder without training: samples of the Fourier transform of each entity.

    Every entity is a uniform distribution of mass 1 over its points, along its lines or over its area. Its transform at
    the frequency f (cycles per tile) is F(f) = mean of exp(-2πi f·x) over the positions x of the entity (tile units),
    see `fourier_transform`. So |F(f)| ≤ 1, and:

    - moving the entity by t multiplies F(f) by exp(-2πi f·t). The magnitude does not change;
    - turning the entity by a matrix R turns the frequencies: F(f) becomes F(Rᵀf);
    - scaling the entity by s scales the frequencies: F(f) becomes F(s·f).

    The frequencies are a grid. Along each axis they are 0 and ±w, for a geometric series of w. The half plane fy > 0,
    and fy = 0 with fx > 0, is enough, because F(-f) is the complex conjugate of F(f). The default has F = 112
    frequencies from 0.5 to 32 cycles per tile along each axis. At 0.5, different coordinates in the tile have different
    phases. At 32, a period is 15 m in a tile of 480 m, so houses of 5 m and of 10 m have different magnitudes.

    Poly2Vec (Siampou et al. 2025) samples a grid of the same form. Differences:

    - Its published code has ten w from 0.1 to 1, for coordinates in [-1, 1]. A building in a tile is far smaller than
      a period of these. It samples only fy > 0.
    - It does not normalise. Here the mass is 1, because the transform of a small building would vanish next to that of
      a park. The size remains visible: the smaller the entity, the slower its magnitude falls with |f|.
    - It triangulates polygons. Here a sum over the edges of all rings gives the same integral, with holes.
    - It uses magnitude and phase angle. Here the real and imaginary parts replace the angle, which jumps at ±π and is
      undefined where the magnitude is 0.
    - It fuses magnitude and phase by trained layers. Here this is left to the model that reads the vectors.

    Attributes:
        name: name of the encoder.
        frequencies: sampled frequencies (fx, fy), in cycles per tile. float64 [F, 2]
        dim: width of the vectors: 3·F.
    """

    name = "fourier"

    def __init__(self, lowest: float = 0.5, highest: float = 32.0, steps: int = 7) -> None:
        """Creates the encoder.

        Args:
            lowest: lowest frequency along an axis other than 0, in cycles per tile.
            highest: highest frequency along an axis, in cycles per tile.
            steps: length of the geometric series, at least 2. F is 2·steps·(steps + 1).
        """
        self.frequencies = half_plane(lowest, highest, steps)
        self.dim = 3 * len(self.frequencies)

    def __call__(self, batch: GeometryTensors) -> Tensor:
        """Encodes every entity of a batch.

        Args:
            batch: geometry of T entities, read with `Modality.NODES`.
        Returns:
            Magnitudes, real parts and imaginary parts of the transform, concatenated. All values are in [-1, 1]. Zeros
            for an entity without nodes, such as an area that covers its tile. float32 [T, dim]
        Raises:
            ValueError: the batch was read without geometry.
        """
        transform = fourier_transform(batch, self.frequencies)
        return torch.cat([transform.abs(), transform.real, transform.imag], dim=1).float()


def half_plane(lowest: float, highest: float, steps: int) -> Tensor:
    """Returns a grid of frequencies that contains one of f and -f, and not 0.

    Args:
        lowest: first value of the geometric series along each axis.
        highest: last value of the series.
        steps: length of the series.
    Returns:
        Frequencies (fx, fy), sorted by fy, then fx. float64 [2·steps·(steps + 1), 2]
    """
    ratio = math.log(highest / lowest) / (steps - 1)
    series = lowest * torch.exp(ratio * torch.arange(steps, dtype=torch.float64))
    axis = torch.cat([-series.flip(0), series.new_zeros(1), series])
    fy, fx = torch.meshgrid(axis, axis, indexing="ij")
    upper = (fy > 0) | ((fy == 0) & (fx > 0))
    return torch.stack([fx[upper], fy[upper]], dim=1)


def fourier_transform(geometry: GeometryTensors, frequencies: Tensor) -> Tensor:
    """Computes the Fourier transform of every entity, normalised to 1 at frequency 0.

    Only the parts of the highest dimension count, as for the centroid of a mixed collection in GEOS: the area of the
    rings, if it is positive (`MIN_AREA`); else the length of all lines and rings; else all nodes, as points. With
    k = 2πf and sinc(z) = sin(z)/z:

    - points: mean of exp(-i k·p) over the points p;
    - lines: Σ |d| exp(-i k·m) sinc(k·d/2) / Σ |d|, over segments with midpoint m and difference d of their ends;
    - areas: (i/|k|²) Σ (k × d) exp(-i k·m) sinc(k·d/2) / area, over the edges of all rings, by Green's theorem. Outer
      rings run counter-clockwise and inner rings clockwise. The direction of the input does not matter.

    The sum for areas cancels where k·d is small. So the code takes positions relative to a node of the entity, and
    splits off the first two terms of the series of exp(-i k·m) sinc(k·d/2), which sum to the area exactly.

    Source: Siampou et al. 2025. `FourierGeometry` lists the differences.

    Args:
        geometry: geometry of T entities. Rings are simple, and inner rings lie in outer rings; otherwise magnitudes
            above 1 are cut to 1.
        frequencies: frequencies (fx, fy), in cycles per tile. [F, 2]
    Returns:
        Transform of each entity. Zeros for an entity without nodes. The result for an entity does not depend on the
        other entities, to the bit on a CPU. complex128 [T, F]
    Raises:
        ValueError: the geometry is missing.
    """
    segments = _segments(geometry)
    k = 2 * math.pi * frequencies.to(segments.step)
    total = k.new_zeros(len(segments.origin), len(k), dtype=torch.complex128)
    of_area = segments.area[segments.entity] > 0
    chunk = max(1, CHUNK_VALUES // max(1, len(k)))
    for rows in (~of_area).nonzero()[:, 0].split(chunk):
        total.index_add_(0, segments.entity[rows], _line_terms(segments, rows, k))
    for rows in (of_area & (segments.weight != 0)).nonzero()[:, 0].split(chunk):
        total.index_add_(0, segments.entity[rows], _area_terms(segments, rows, k))
    total += (segments.area > 0)[:, None]
    total *= torch.exp(-1j * _dot(segments.origin, k))
    return total / total.abs().clamp_min(1)


class _Segments(NamedTuple):
    """One segment per node: from the node to the next one of its line or ring.

    The segments of points, and of the last node of a line, have no length.

    Attributes:
        middle: midpoint, relative to the entity's origin. float64 [N, 2]
        step: difference of the ends. float64 [N, 2]
        entity: index of the entity. int64 [N]
        weight: in an area, the direction in which the ring is passed, 1 or -1, and 0 for other parts; elsewhere the
            share of the entity's mass. float64 [N]
        origin: first node of each entity. float64 [T, 2]
        area: area of each entity; 0 for an entity that counts as lines or points. float64 [T]
    """

    middle: Tensor
    step: Tensor
    entity: Tensor
    weight: Tensor
    origin: Tensor
    area: Tensor


def _segments(geometry: GeometryTensors) -> _Segments:
    """Cuts the parts of all entities into segments, and weights them by the dimension of their entity."""
    xy, nodes, parts, part_nodes, role = _tensors(geometry)
    count = lengths_of(nodes)
    entity, part = segment_ids(nodes), segment_ids(part_nodes)
    following = torch.arange(len(xy), device=xy.device) + (role >= LINE)[part]
    filled = lengths_of(part_nodes) > 0
    first, last = part_nodes[:-1][filled], part_nodes[1:][filled] - 1
    following[last] = torch.where(role[filled] >= OUTER, first, last)
    origin = xy.new_zeros(len(count), 2)
    origin[count > 0] = xy[nodes[:-1][count > 0]]
    local, step = xy - origin[entity], xy[following] - xy

    ring = (role >= OUTER)[part]
    swept = torch.where(ring, (local[:, 0] * step[:, 1] - local[:, 1] * step[:, 0]) / 2, 0)
    ring_area = swept.new_zeros(len(role)).index_add_(0, part, swept)
    side = torch.where(role == INNER, -1.0, 1.0).to(xy)
    length = step.norm(dim=1)
    area, perimeter, total_length = xy.new_zeros(3, len(count))
    area.index_add_(0, segment_ids(parts), ring_area.abs() * side)
    perimeter.index_add_(0, entity, torch.where(ring, length, 0))
    total_length.index_add_(0, entity, torch.where((role >= LINE)[part], length, 0))
    area = torch.where(area > MIN_AREA * perimeter.square(), area, 0)

    as_points = 1 / count[entity].to(xy)
    as_lines = torch.where(total_length[entity] > 0, length / total_length[entity], as_points)
    as_areas = ring_area.sign()[part] * side[part]
    weight = torch.where(area[entity] > 0, as_areas, as_lines)
    return _Segments(local + step / 2, step, entity, weight, origin, area)


def _tensors(geometry: GeometryTensors) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns the nodes in float64, the three offsets and the roles."""
    xy, nodes, parts = geometry.node_xy, geometry.node_offsets, geometry.part_offsets
    part_nodes, role = geometry.part_node_offsets, geometry.part_role
    if xy is None or nodes is None or parts is None or part_nodes is None or role is None:
        raise ValueError("the batch was read without geometry")
    return xy.double(), nodes.long(), parts.long(), part_nodes.long(), role


def _line_terms(segments: _Segments, rows: Tensor, k: Tensor) -> Tensor:
    """Returns the terms of some segments in the sum for lines or points. complex128 [rows, F]"""
    angle, half = _dot(segments.middle[rows], k), _dot(segments.step[rows], k) / 2
    return torch.polar(1 + _sinc_minus_1(half, half.sin()), -angle) * segments.weight[rows, None]


def _area_terms(segments: _Segments, rows: Tensor, k: Tensor) -> Tensor:
    """Returns the terms of some edges of rings in the sum for areas. complex128 [rows, F]

    The term of an edge is i w (exp(-iθ) s - 1 + iθ) with θ = k·m, s = sinc(k·d/2) and w = ±(k × d) / (|k|² area). Over
    a closed ring, the terms i w sum to 0, and the terms w θ to ±1 × the ring's share of the area.
    """
    step = segments.step[rows]
    scale = segments.weight[rows] / segments.area[segments.entity[rows]]
    square = k.square().sum(1).clamp_min(torch.finfo(k.dtype).tiny)
    w = (k[:, 0] * step[:, 1:] - k[:, 1] * step[:, :1]) / square * scale[:, None]
    angle, half = _dot(segments.middle[rows], k), _dot(step, k) / 2
    sine, cosine = angle.sin(), angle.cos()
    low = _sinc_minus_1(half, half.sin())
    real = cosine * low - 2 * (angle / 2).sin().square()
    imag = -sine * low - angle * _sinc_minus_1(angle, sine)
    return torch.complex(-w * imag, w * real)


def _sinc_minus_1(z: Tensor, sine: Tensor) -> Tensor:
    """Computes sin(z)/z - 1 with full relative precision, from z and sin(z). Uses the power series below 0.1."""
    square = z.square()
    series = -square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    small = z.abs() < 0.1
    return torch.where(small, series, sine / torch.where(small, 1, z) - 1)


def _dot(vectors: Tensor, k: Tensor) -> Tensor:
    """Returns all scalar products. [E, 2], [F, 2] -> [E, F]. Without a matrix product, whose rounding varies by E."""
    return vectors[:, :1] * k[:, 0] + vectors[:, 1:] * k[:, 1]
