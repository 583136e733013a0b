"""Transformer for packed sequences (see `nn.packing`). Normalises before attention and MLP (pre-norm)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout, SelfAttention
from geojepa_cli.nn.layers.mlp import Mlp


class Block(nn.Module):
    """Transformer layer: self-attention and MLP, each after a layer normalisation and with a residual connection.

    Args:
        embed_dim: width D.
        num_heads: number of attention heads.
        mlp_ratio: hidden width of the MLP, divided by D.
        null_weight: number of virtual zero tokens added to every sequence in attention, see `packed_attention`.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float, null_weight: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = SelfAttention(embed_dim, num_heads, null_weight)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), embed_dim)

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """Returns the layer's output for each token. [T, D] -> [T, D]."""
        x = x + self.attn(self.norm1(x), layout)
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Stack of transformer layers, followed by a LayerNorm.

    By default, the output is computed from the last layer. If `input_weight` is set, the output is computed from a sum:
    the outputs of all layers plus the input, which is multiplied by `input_weight`. All are layer-normalised before the
    sum. A higher weight gives a token's content more influence, compared with the other tokens of its tile. data2vec
    (Baevski et al. 2022) averages layers in a similar way.

    Args:
        embed_dim: width D.
        depth: number of layers.
        num_heads: number of attention heads of each layer.
        mlp_ratio: hidden width of the MLPs, divided by D.
        input_weight: weight of the input in the sum. None uses the output of the last layer instead of the sum.
        null_weight: number of virtual zero tokens added to every sequence in attention, see `packed_attention`.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        input_weight: float | None = None,
        null_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_weight = input_weight
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_ratio, null_weight) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """Returns the transformer's output for each token. [T, D] -> [T, D]."""
        if self.input_weight is None:
            for block in self.blocks:
                x = block(x, layout)
            return self.norm(x)
        total = self.input_weight * _normalise(x)
        for block in self.blocks:
            x = block(x, layout)
            total = total + _normalise(x)
        return self.norm(total)


def _normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
