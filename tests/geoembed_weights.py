"""Weights and pictures from which geoembed 1.1.2 computed the vectors that a test compares with.

from geoembed import Model
np.savez("random.npz", **random_weights(), pool_size=[4], embed_dim=[256], base_channels=[64])
Model.v3(checkpoint="random.npz", device="cpu", workers=0).encode(list(pictures()))[:, ::16]  # OF_RANDOM_WEIGHTS
Model.v3(device="cpu", workers=0).encode(list(pictures()))[:, ::16]                           # OF_ITS_WEIGHTS
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.models.geoembed import PREFIX, GeoEmbedNetwork

FC = "fc.weight", "fc.bias"
CELLS = 16 * 512  # values of the 4 × 4 cells of a picture
# every 16th of the 256 values of each picture
OF_RANDOM_WEIGHTS = (
    (
        *(0.0268203, -0.0077148, 0.0868537, 0.0212707, 0.0057676, -0.0642137, -0.0378824, 0.0667739),
        *(-0.1140937, -0.0365177, 0.043191, 0.0630165, -0.0883064, 0.0125927, 0.0073246, -0.0179583),
    ),
    (
        *(0.0107118, -0.0065326, 0.0680449, 0.0110305, -0.0231712, -0.0513255, -0.0336041, 0.0316764),
        *(-0.1066097, -0.0385397, 0.0389934, 0.0632842, -0.05304, 0.0284256, 0.0467381, 0.0080545),
    ),
)
OF_ITS_WEIGHTS = (
    (
        *(-0.035268, -0.0822724, -0.0057357, -0.0770601, 0.0600818, -0.0225521, -0.0977573, 0.0656049),
        *(0.0103124, 0.0052192, 0.0500009, 0.0243484, 0.0060723, -0.0216751, 0.0930414, 0.125787),
    ),
    (
        *(-0.011874, -0.0034416, -0.0032817, -0.048113, 0.1052832, -0.0121083, -0.0612599, 0.0012294),
        *(-0.0539608, 0.0003074, 0.0198107, -0.0295066, 0.0660727, 0.0310131, 0.0929402, 0.127071),
    ),
)


def random_weights() -> dict[str, NDArray[np.float32]]:
    """Random weights with the names and shapes of `weights/v3.npz` in the package; the same in each call."""
    rng = np.random.default_rng(7)
    with torch.device("meta"):
        shapes = {PREFIX + name: tuple(x.shape) for name, x in GeoEmbedNetwork().state_dict().items()}
    shapes |= {FC[0]: (CELLS, 256), FC[1]: (256,)}
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        x = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            x *= math.sqrt(2 / math.prod(shape[1:] if len(shape) == 4 else shape[:1]))
        else:
            x *= 0.2
            if name.endswith("running_var"):
                x = np.exp(x)
            elif name.endswith("weight"):
                x += 1
        found[name] = x
    return found


def pictures() -> NDArray[np.uint8]:
    """Two pictures: colour gradients, and a disc. uint8 [2, 128, 128, 3]"""
    y, x = np.mgrid[0:128, 0:128]
    gradients = np.stack([2 * x, 2 * y, 255 - 2 * x], -1)
    disc = np.where(((x - 40) ** 2 + (y - 70) ** 2 < 900)[..., None], [40, 90, 160], [190, 180, 120])
    return np.stack([gradients, disc]).astype(np.uint8)
