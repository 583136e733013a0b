"""Network of the image encoder `scalemae`: the encoder of ScaleMAE (Reed et al. 2023), a ViT-L/16 for aerial images.

Its position encoding depends on the ground resolution of an image, so that it encodes places in metres. The names of
the weights are those of the published file, which are those of the package timm. Neither that package nor the code of
the authors is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.grid import EnuFrame, tiles_bounds
from geojepa_cli.store.image_form import SIZE_PX

REFERENCE_M_PER_PX = 1.0  # G of the paper
# weights of a published file that the encoder does not have: decoder and classifier, and positions for 1 m/px
_UNUSED = ("decoder_", "mask_token", "fpn.", "fcn", "pos_emb_projection.", "head.", "pos_embed")
_PREFIX = "model."  # of the names in some files


class ScaleMaeSizes(NamedTuple):
    """Sizes of the network. Those of ViT-L/16 by default."""

    embed_dim: int = 1024
    depth: int = 24
    num_heads: int = 16
    patch_px: int = 16
    mlp_ratio: int = 4


class _Attention(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self._num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self._num_heads, -1)).permute(2, 0, 3, 1, 4)  # [3, N, heads, P, D / heads]
        return self.proj(F.scaled_dot_product_attention(*qkv.unbind(0)).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, sizes: ScaleMaeSizes) -> None:
        super().__init__()
        width = sizes.embed_dim
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, sizes.num_heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width, sizes.mlp_ratio * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ScaleMaeNetwork(nn.Module):
    """Encoder of ScaleMAE."""

    def __init__(self, sizes: ScaleMaeSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or ScaleMaeSizes()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.embed_dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, sizes.embed_dim, sizes.patch_px, sizes.patch_px)})
        self.blocks = nn.ModuleList(_Block(sizes) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(sizes.embed_dim, eps=1e-6)

    def forward(self, x: Tensor, resolution: Tensor) -> Tensor:
        """Computes the tokens of images: the class token first, then the patches row by row from the north-west corner.

        Args:
            x: images, normalised with mean and standard deviation of ImageNet. float [N, 3, H, H]
            resolution: ground resolution of each image in metres per pixel. float32 [N]

        Returns:
            float [N, 1 + grid², D]
        """
        cells: Tensor = self.patch_embed["proj"](x)
        patches = cells.flatten(2).transpose(1, 2)
        patches = patches + scaled_positions(resolution, cells.shape[-1], cells.shape[1]).to(patches.dtype)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1)  # the class token has no position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def scaled_positions(resolution: Tensor, grid: int, width: int) -> Tensor:
    """Computes position encodings that depend on the ground resolution (GSD positional encoding, Reed et al. 2023).

    The position of a patch is its column or row, multiplied by g / G: the resolution g of the image, divided by the
    reference resolution G of 1 m/px. The first half of a vector encodes the column, the second half the row. Each half
    has the sines of the position at width / 4 frequencies, 10000^(-4i / width), then the cosines.

    Args:
        resolution: ground resolution of each image in metres per pixel. float32 [N]
        grid: number of patches along one side of the image.
        width: width of a token, a multiple of 4.

    Returns:
        Encodings of the patches, row by row. float32 [N, grid², width]
    """
    frequencies = 10000.0 ** (-torch.arange(width // 4, device=resolution.device) / (width / 4))
    steps = torch.arange(grid, device=resolution.device, dtype=torch.float32)
    angles = (resolution[:, None] / REFERENCE_M_PER_PX * steps)[..., None] * frequencies  # [N, grid, width / 4]
    one = torch.cat([angles.sin(), angles.cos()], dim=-1)
    columns = one[:, None].expand(-1, grid, -1, -1)
    rows = one[:, :, None].expand(-1, -1, grid, -1)
    return torch.cat([columns, rows], dim=-1).flatten(1, 2)


def metres_per_px(zxy: Tensor) -> Tensor:
    """Returns the ground resolution of the images of tiles: the length of the south edge, divided by 224 px.

    Args:
        zxy: zoom, column and row of each tile. int64 [N, 3]

    Returns:
        Metres per pixel. float32 [N]
    """
    west, south, east, _ = tiles_bounds(*zxy.cpu().numpy().T).T
    return torch.from_numpy(EnuFrame(west, south).to_enu(east, south)[0] / SIZE_PX).float()


def encoder_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of the encoder in a published file, without those of the decoder and of a classifier."""
    named = {name.removeprefix(_PREFIX): x for name, x in state.items()}
    return {name: x for name, x in named.items() if not name.startswith(_UNUSED)}
