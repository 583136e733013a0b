"""Measures of the spread of vectors: variance of each dimension, dead dimensions, and cosine similarities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Largest standard deviation of a dead dimension, relative to the root mean square of its own values, or of the values
# of all dimensions. The second is smaller, because healthy dimensions differ in scale: most units of a GELU are small.
DEAD = 0.01
DEAD_OF_ALL = 0.001


class Spread(NamedTuple):
    """Spread of a set of vectors.

    Attributes:
        std: standard deviation of the dimensions, averaged over the dimensions.
        variance_min, variance_median, variance_max: lowest, median and highest variance of a dimension.
        dead: share of dead dimensions. A dimension is dead if its standard deviation is at most `DEAD` times the root
            mean square of its values, or at most `DEAD_OF_ALL` times that of all values of all dimensions.
        relative: root mean square distance of the vectors from their mean, divided by the root mean square length of
            the vectors. 0 if all vectors are equal, 1 if their mean is zero.
    """

    std: float
    variance_min: float
    variance_median: float
    variance_max: float
    dead: float
    relative: float


def spread(vectors: Tensor) -> Spread:
    """Returns the spread of at least one vector [n, d]. The variance of a single vector is 0."""
    x = vectors.detach().to(torch.float64)
    size = x.square().mean()
    centred = x - x.mean(0)
    variance = centred.square().sum(0) / max(len(x) - 1, 1)
    largest = torch.maximum(DEAD**2 * x.square().mean(0), DEAD_OF_ALL**2 * size)
    dead = (variance <= largest).to(torch.float64).mean()
    relative = (centred.square().mean() / size.clamp(min=1e-300)).sqrt()
    figures = (variance.sqrt().mean(), variance.min(), variance.median(), variance.max(), dead, relative)
    return Spread(*torch.stack(figures).tolist())


def similarities(vectors: Tensor, cu_seqlens: Tensor) -> tuple[float, float]:
    """Returns two mean cosine similarities: of two vectors in the same group, and of two vectors in different groups.

    All pairs of different vectors are counted.

    Args:
        vectors: vectors, group by group. [n, d]
        cu_seqlens: cumulative sizes of the groups. [groups + 1]

    Returns:
        The two means. A mean is NaN if there is no such pair.
    """
    unit = torch.nn.functional.normalize(vectors.detach().to(torch.float64), dim=1)
    sizes = cu_seqlens.diff().to(torch.float64)
    group = torch.repeat_interleave(torch.arange(len(sizes), device=unit.device), cu_seqlens.diff().long())
    sums = torch.zeros(len(sizes), unit.shape[1], dtype=unit.dtype, device=unit.device).index_add_(0, group, unit)
    own = unit.square().sum()  # pairs of a vector with itself
    grouped, everything = sums.square().sum(), sums.sum(0).square().sum()
    pairs = (sizes * (sizes - 1)).sum(), sizes.sum().square() - sizes.square().sum()
    within, between = torch.stack([(grouped - own) / pairs[0], (everything - grouped) / pairs[1]]).tolist()
    return within, between
