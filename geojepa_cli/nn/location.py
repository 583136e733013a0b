"""Location encoders: vectors of places on the globe, from their longitude and latitude.

The location is projected or expanded in float64. In float32, the phase of a location is wrong by up to 4 m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

EARTH_RADIUS_M = 6_371_008.8  # mean radius
# Polynomial of the Equal Earth projection (Šavrič et al. 2019)
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
SCALE = 66.50336 / 180.0  # GeoCLIP multiplies projected coordinates by it
UNIT_M = EARTH_RADIUS_M / SCALE  # length of a unit of scaled coordinates on the ground, in metres


def equal_earth(lonlat: Tensor) -> Tensor:
    """Projects places on the unit sphere with the Equal Earth projection (Šavrič et al. 2019).

    Areas keep their size. The ellipsoid is ignored, as in GeoCLIP.

    Args:
        lonlat: longitude and latitude in degrees. float64 [..., 2]
    Returns:
        Coordinates (x, y) in radii of the sphere. float64 [..., 2]
    """
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    theta = torch.asin(math.sqrt(3.0) / 2.0 * torch.sin(lat))
    square = theta * theta
    sixth = square**3
    slope = A1 + 3.0 * A2 * square + sixth * (7.0 * A3 + 9.0 * A4 * square)
    x = 2.0 * math.sqrt(3.0) / 3.0 * lon * torch.cos(theta) / slope
    y = theta * (A1 + A2 * square + sixth * (A3 + A4 * square))
    return torch.stack([x, y], dim=-1)


def unit_vectors(lonlat: Tensor) -> Tensor:
    """Returns the positions of places on the unit sphere. float64 [..., 2] in degrees -> float64 [..., 3]"""
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    return torch.stack([torch.cos(lat) * torch.cos(lon), torch.cos(lat) * torch.sin(lon), torch.sin(lat)], dim=-1)


def are_near(lonlat: Tensor, others: Tensor, distance_m: float) -> Tensor:
    """Returns True for each pair of places that are less than `distance_m` metres apart, on a sphere.

    Args:
        lonlat: places, longitude and latitude in degrees. float64 [M, 2]
        others: places to compare with. float64 [N, 2]
        distance_m: distance in metres. With 0, no pair is near.
    Returns:
        bool [M, N]
    """
    a, b = unit_vectors(lonlat), unit_vectors(others)
    squared = torch.zeros(len(a), len(b), dtype=a.dtype, device=a.device)
    for axis in range(3):  # differences, because 1 − cos is rounded to 0 for places a few centimetres apart
        squared += (a[:, axis, None] - b[None, :, axis]).square()
    chord = 2.0 * math.sin(min(distance_m / EARTH_RADIUS_M, math.pi) / 2.0)
    return squared < chord * chord


class FourierFeatures(nn.Module):
    """Random Fourier features of projected places (Tancik et al. 2020): [cos 2πBx, sin 2πBx] with B ~ N(0, σ²).

    x is the place in the Equal Earth projection, multiplied by `SCALE` (GeoCLIP, Cepeda et al. 2023). The
    scalar product of the features of two places at distance d, divided by the number of frequencies, approximates the
    Gaussian kernel exp(−2π²σ²d²). So σ decides at which distance places differ: the kernel falls to exp(−1/2) at
    `UNIT_M` / (2πσ), which is 10.7 km for σ = 256, 0.67 km for σ = 4,096 and 0.17 km for σ = 16,384. B is not trained.

    Args:
        sigma: standard deviation σ of the frequencies.
        count: number of frequencies.
    """

    frequencies: Tensor

    def __init__(self, sigma: float, count: int = 256) -> None:
        super().__init__()
        self.register_buffer("frequencies", sigma * torch.randn(count, 2, dtype=torch.float64))

    def forward(self, xy: Tensor) -> Tensor:
        """Returns the features of projected places. float64 [N, 2] -> float64 [N, 2 · count]"""
        frequencies = self.frequencies.double()
        # products of columns, not a matrix product, which autocast would compute in half precision
        phase = 2.0 * math.pi * (xy[:, :1] * frequencies[:, 0] + xy[:, 1:] * frequencies[:, 1])
        return torch.cat([phase.cos(), phase.sin()], dim=1)


def spherical_harmonics(lonlat: Tensor, degree: int) -> Tensor:
    """Returns the real spherical harmonics of places, orthonormal on the sphere (Rußwurm et al. 2024).

    The associated Legendre functions are computed by the recursion of Holmes and Featherstone (2002) with full
    normalisation, without the factor (−1)^m.

    Args:
        lonlat: longitude and latitude in degrees. float64 [N, 2]
        degree: highest degree L.
    Returns:
        Values in the order of degree l, then of order m from −l to l. float64 [N, (L + 1)²]
    """
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    t, u = torch.sin(lat), torch.cos(lat)
    legendre: dict[tuple[int, int], Tensor] = {(0, 0): torch.full_like(t, math.sqrt(0.25 / math.pi))}
    for m in range(1, degree + 1):
        legendre[m, m] = math.sqrt((2 * m + 1) / (2 * m)) * u * legendre[m - 1, m - 1]
    for m in range(degree):
        legendre[m + 1, m] = math.sqrt(2 * m + 3) * t * legendre[m, m]
        for n in range(m + 2, degree + 1):
            a = math.sqrt((2 * n - 1) * (2 * n + 1) / ((n - m) * (n + m)))
            b = math.sqrt((2 * n + 1) * (n + m - 1) * (n - m - 1) / ((2 * n - 3) * (n - m) * (n + m)))
            legendre[n, m] = a * t * legendre[n - 1, m] - b * legendre[n - 2, m]
    columns = []
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            wave = torch.cos(m * lon) if m >= 0 else torch.sin(-m * lon)
            columns.append((math.sqrt(2.0) if m else 1.0) * legendre[n, abs(m)] * wave)
    return torch.stack(columns, dim=1)


class LocationEncoder(nn.Module):
    """Computes a vector for each place. An MLP reads the features of each scale, and the results are summed (GeoCLIP).

    Args:
        out_dim: width E of the vectors.
        sigmas: scales of the Fourier features. Each has its MLP. Empty: spherical harmonics with one MLP.
        features: number of frequencies per scale.
        hidden_dim: width of the hidden layers of the MLPs.
        hidden_layers: number of hidden layers of the MLPs.
        degree: highest degree of the spherical harmonics. Used only without `sigmas`.
    """

    def __init__(
        self,
        out_dim: int,
        sigmas: Sequence[float] = (1.0, 16.0, 256.0),
        features: int = 256,
        hidden_dim: int = 1024,
        hidden_layers: int = 3,
        degree: int = 20,
    ) -> None:
        super().__init__()
        self.degree = degree
        self.scales = nn.ModuleList(FourierFeatures(sigma, features) for sigma in sigmas)
        width = 2 * features if sigmas else (degree + 1) ** 2
        self.mlps = nn.ModuleList(
            _relu_mlp(width, hidden_dim, hidden_layers, out_dim) for _ in range(max(len(sigmas), 1))
        )

    def forward(self, lonlat: Tensor) -> Tensor:
        """Returns the vectors of places.

        Args:
            lonlat: longitude and latitude in degrees. float64 [N, 2]
        Returns:
            Vectors. [N, E]
        """
        dtype = next(self.mlps.parameters()).dtype
        if not len(self.scales):
            return self.mlps[0](spherical_harmonics(lonlat, self.degree).to(dtype))
        xy = equal_earth(lonlat) * SCALE
        parts = [mlp(scale(xy).to(dtype)) for scale, mlp in zip(self.scales, self.mlps, strict=True)]
        return torch.stack(parts).sum(0)


def _relu_mlp(in_dim: int, hidden_dim: int, hidden_layers: int, out_dim: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(in_dim, hidden_dim), nn.ReLU()]
        in_dim = hidden_dim
    return nn.Sequential(*layers, nn.Linear(in_dim, out_dim))
