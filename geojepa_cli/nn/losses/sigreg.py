"""SIGReg: makes vectors follow a standard normal distribution, which prevents collapse (Balestriero and LeCun 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geojepa_cli.nn.losses.prediction import members

# Algorithm 1 of the paper integrates over 17 points from -5 to 5. The integrand is symmetric, and 0 at 0, so the eight
# positive points are enough.
STEP = 5.0 / 8
POINTS = 8


def random_directions(dim: int, slices: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """Draws directions from the uniform distribution on the unit sphere.

    Args:
        dim: dimension D of the vectors.
        slices: number of directions S.
        rng: random generator on the CPU, so that directions are the same on any device.
        device: device of the result.
    Returns:
        Unit vectors as columns. float32 [D, S]
    """
    drawn = torch.randn(dim, slices, generator=rng)
    drawn = drawn / drawn.norm(dim=0, keepdim=True)
    if device.type == "cuda":  # the copy from page-locked memory does not wait for the GPU
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)


def sigreg(x: Tensor, modality: Tensor, modalities: int, directions: Tensor) -> Tensor:
    """Measures how far the distribution of the vectors is from the standard normal distribution N(0, I).

    The vectors are projected on each direction. The distance between the projections p_1 … p_N and N(0, 1) is
    ∫ |φ_N(t) − φ(t)|² exp(−t²/2) dt (Epps and Pulley 1983). φ_N(t), the empirical characteristic function, is the mean
    of exp(i·t·p_n). φ(t) = exp(−t²/2) is the characteristic function of N(0, 1). The result is the average over the
    directions (algorithm 1).

    The paper multiplies the distance by N. Here, the result does not grow with the number of tokens. So the same weight
    fits tiles, entities, image patches, and batches of all sizes. If all vectors are 0 (collapse), the result is 0.41.

    Each modality is regularised separately, then the results are averaged, as in `vicreg`. Modalities with fewer than
    two tokens are ignored.

    Args:
        x: vectors. [N, D]
        modality: modality id of each vector. int64 [N]
        modalities: number of modalities.
        directions: unit vectors as columns. [D, S]
    Returns:
        Scalar tensor.
    """
    member = members(modality, modalities, x.dtype)
    count = member.sum(1)
    mean = member / count.clamp_min(1)[:, None]  # [modalities, N]
    projected = x @ directions  # [N, S]
    total = x.new_zeros(modalities, directions.shape[1])
    for point in range(1, POINTS + 1):
        t = STEP * point
        normal = math.exp(-0.5 * t * t)
        weight = (1 if point == POINTS else 2) * STEP * normal  # trapezoidal rule, for t and −t
        angle = t * projected
        gap = (mean @ angle.cos() - normal).square() + (mean @ angle.sin()).square()
        total = total + weight * gap
    usable = (count > 1).to(x.dtype)
    return (total.mean(1) * usable).sum() / usable.sum().clamp_min(1)
