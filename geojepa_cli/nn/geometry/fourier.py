"""Encodes points, lines and polygons by values of their Fourier transform, without training.

Source: Poly2Vec (Siampou et al. 2025).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.geometry.tensors import INNER, LINE, OUTER, GeometryTensors
from geojepa_cli.nn.packing import lengths_of, segment_ids

CHUNK_VALUES = 2**19  # maximum number of values in a temporary tensor: 4 MB in float64
# relative to the squared perimeter; rings with less area are treated as lines, because rounding errors would dominate
MIN_AREA = 1e-9


class FourierGeometry:
    """Encodes the geometry of each entity as values of its Fourier transform at fixed frequencies. Nothing is trained.

    A frequency f = (fx, fy) has the unit cycles per tile. The Fourier transform of an entity at f is the mean of
    exp(-2πi f·x) over all positions x of the entity: its points, the positions along its lines, or the positions in its
    area. Positions are in tile units. `fourier_transform` has the formulas. If F(f) is this transform, |F(f)| ≤ 1, and:

    - If the entity is moved by t, F(f) is multiplied by exp(-2πi f·t). The magnitude |F(f)| does not change.
    - If the entity is rotated by a matrix R, F(f) becomes F(Rᵀf).
    - If the entity is scaled by a factor s, F(f) becomes F(s·f).

    The frequencies form a grid. Along each axis, the grid has the value 0, the values w of a geometric series, and the
    values -w. Only half of the grid is used, because F(-f) is the complex conjugate of F(f): all frequencies with
    fy > 0, and those with fy = 0 and fx > 0. By default, w goes from 0.5 to 32, and 112 frequencies are used. At 0.5
    cycles per tile, different coordinates in a tile have different phases. At 32 cycles per tile, a period is 15 m in a
    tile of 480 m, so houses of 5 m and of 10 m have different magnitudes.

    Poly2Vec (Siampou et al. 2025) also computes the Fourier transform on a grid. Differences from Poly2Vec:

    - The published code of Poly2Vec has ten values w from 0.1 to 1, for coordinates in [-1, 1]. Even the shortest of
      the corresponding periods is much longer than a building. The code uses only frequencies with fy > 0.
    - In Poly2Vec, F(0) is the area of a polygon. Here, F(0) is 1 for every entity. Otherwise, the values of a small
      building would be negligible compared with those of a park. The vector still contains the size of the entity: the
      smaller the entity, the more slowly |F(f)| falls with |f|.
    - Poly2Vec divides polygons into triangles. Here, a sum over the edges of all rings gives the same integral, also
      for polygons with holes.
    - Poly2Vec uses the magnitude and the phase angle. Here, the real and the imaginary part are used in place of the
      angle, because the angle jumps at ±π and is undefined where the magnitude is 0.
    - Poly2Vec combines magnitude and phase with trained layers. Here, the model that reads the vectors must do this.

    Attributes:
        name: name of the encoder.
        frequencies: frequencies (fx, fy) of the vectors, in cycles per tile. float64 [F, 2]
        dim: width of the vectors: three times the number of frequencies.
    """

    name = "fourier"

    def __init__(self, lowest: float = 0.5, highest: float = 32.0, steps: int = 7) -> None:
        """Creates the encoder.

        Args:
            lowest: lowest frequency along an axis, apart from 0, in cycles per tile.
            highest: highest frequency along an axis, in cycles per tile.
            steps: number of positive frequencies along an axis, at least 2. They form a geometric series. The encoder
                has 2·steps·(steps + 1) frequencies.
        """
        self.frequencies = half_plane(lowest, highest, steps)
        self.dim = 3 * len(self.frequencies)

    def __call__(self, batch: GeometryTensors) -> Tensor:
        """Encodes every entity of a batch.

        Args:
            batch: batch with T entities that was read with `Modality.NODES`.
        Returns:
            One vector per entity: the magnitudes at all frequencies, then the real parts, then the imaginary parts of
            the Fourier transform. All values are in [-1, 1]. An entity without nodes, such as an area that covers its
            tile, gets zeros. float32 [T, dim]
        Raises:
            ValueError: the batch was read without geometry.
        """
        transform = fourier_transform(batch, self.frequencies)
        return torch.cat([transform.abs(), transform.real, transform.imag], dim=1).float()


def half_plane(lowest: float, highest: float, steps: int) -> Tensor:
    """Returns half of a grid of frequencies: one frequency of each pair f and -f. The frequency 0 is left out.

    Along each axis, the grid has the value 0, a geometric series, and the same series with negative sign.

    Args:
        lowest: first value of the geometric series.
        highest: last value of the geometric series.
        steps: number of values in the geometric series, at least 2.
    Returns:
        Frequencies (fx, fy), sorted by fy, then by fx. float64 [2·steps·(steps + 1), 2]
    """
    ratio = math.log(highest / lowest) / (steps - 1)
    series = lowest * torch.exp(ratio * torch.arange(steps, dtype=torch.float64))
    axis = torch.cat([-series.flip(0), series.new_zeros(1), series])
    fy, fx = torch.meshgrid(axis, axis, indexing="ij")
    upper = (fy > 0) | ((fy == 0) & (fx > 0))
    return torch.stack([fx[upper], fy[upper]], dim=1)


def fourier_transform(geometry: GeometryTensors, frequencies: Tensor) -> Tensor:
    """Computes the Fourier transform of every entity, normalised to 1 at frequency 0.

    If the rings of an entity have an area (see `MIN_AREA`), the entity counts as an area, and its lines and points are
    ignored. If not, but its lines and rings have a length, it counts as lines. All other entities count as points. GEOS
    uses the same rule for the centroid of a collection. With k = 2πf and sinc(z) = sin(z)/z, the transform is:

    - for points: the mean of exp(-i k·p) over all nodes p;
    - for lines: Σ |d| exp(-i k·m) sinc(k·d/2) / Σ |d|, where m is the midpoint of a segment and d is the vector from
      its start to its end. The sums are over all segments of lines and rings;
    - for areas: (i/|k|²) Σ (k × d) exp(-i k·m) sinc(k·d/2) / area, by Green's theorem. The sum is over the edges of all
      rings. Outer rings must be counter-clockwise and inner rings clockwise. Rings with the wrong direction are
      reversed.

    If k·d is small, the terms of the sum for areas almost cancel, and rounding errors would dominate. So positions are
    relative to the first node of the entity. Also, the first two terms of the power series of exp(-i k·m) sinc(k·d/2)
    are left out of the sum. Their exact contribution to the transform, 1, is added instead.

    Source: Siampou et al. 2025. `FourierGeometry` lists the differences.

    Args:
        geometry: geometry of T entities. Rings should not cross themselves, and inner rings should lie inside outer
            rings. Otherwise, a magnitude may exceed 1 and is then reduced to 1.
        frequencies: frequencies (fx, fy), in cycles per tile. [F, 2]
    Returns:
        Transform of each entity at each frequency. Zeros for an entity without nodes. The result for an entity does
        not depend on the other entities. On a CPU, this is exact: all bits are the same. complex128 [T, F]
    Raises:
        ValueError: the batch was read without geometry.
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
    """The segments of T entities. There is one segment for each of the N nodes.

    A segment leads from a node to the next node of the same line or ring. A point, and the last node of a line, have a
    segment of length 0.

    Attributes:
        middle: midpoint of each segment, relative to the origin of the entity. float64 [N, 2]
        step: vector from the start to the end of each segment. float64 [N, 2]
        entity: index of the entity to which each segment belongs. int64 [N]
        weight: weight of each segment in the sum of its entity. float64 [N]. If the entity counts as an area, the
            weight is 1 for edges of rings, -1 for edges of rings that must be reversed, and 0 for other segments. If
            the entity counts as lines, the weight is the segment's share of the total length. If the entity counts as
            points, the weight is 1 / number of nodes.
        origin: position of the first node of each entity. float64 [T, 2]
        area: area of each entity; 0 for an entity that counts as lines or points. float64 [T]
    """

    middle: Tensor
    step: Tensor
    entity: Tensor
    weight: Tensor
    origin: Tensor
    area: Tensor


def _segments(geometry: GeometryTensors) -> _Segments:
    """Returns the segments of all entities, and their weights in the sums of `fourier_transform`."""
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
    """Returns five fields of the geometry: `node_xy`, `node_offsets`, `part_offsets`, `part_node_offsets`, `part_role`.

    Coordinates are converted to float64, and offsets to int64.

    Raises:
        ValueError: the batch was read without geometry.
    """
    xy, nodes, parts = geometry.node_xy, geometry.node_offsets, geometry.part_offsets
    part_nodes, role = geometry.part_node_offsets, geometry.part_role
    if xy is None or nodes is None or parts is None or part_nodes is None or role is None:
        raise ValueError("the batch was read without geometry")
    return xy.double(), nodes.long(), parts.long(), part_nodes.long(), role


def _line_terms(segments: _Segments, rows: Tensor, k: Tensor) -> Tensor:
    """Returns the terms of the given segments in the sums for lines or points, see `fourier_transform`. [rows, F]"""
    angle, half = _dot(segments.middle[rows], k), _dot(segments.step[rows], k) / 2
    return torch.polar(1 + _sinc_minus_1(half, half.sin()), -angle) * segments.weight[rows, None]


def _area_terms(segments: _Segments, rows: Tensor, k: Tensor) -> Tensor:
    """Returns the terms of the given ring edges in the sum for areas, see `fourier_transform`. complex128 [rows, F]

    The full term of an edge is i w exp(-iθ) s, where θ = k·m, s = sinc(k·d/2) and w = ±(k × d) / (|k|² area). To avoid
    rounding errors, the first two terms of its power series, i w + w θ, are left out. So the function returns
    i w (exp(-iθ) s - 1 + iθ).

    Over all edges of an entity, the terms i w add up to 0, and the terms w θ add up to 1.
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
    """Computes sin(z)/z - 1 from z and sin(z). Uses the power series for |z| < 0.1, to avoid rounding errors."""
    square = z.square()
    series = -square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    small = z.abs() < 0.1
    return torch.where(small, series, sine / torch.where(small, 1, z) - 1)


def _dot(vectors: Tensor, k: Tensor) -> Tensor:
    """Returns the dot product of each vector with each row of `k`. [E, 2], [F, 2] -> [E, F].

    A matrix product is not used, because its rounding depends on E.
    """
    return vectors[:, :1] * k[:, 0] + vectors[:, 1:] * k[:, 1]
