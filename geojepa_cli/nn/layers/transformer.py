"""Transformer layers on packed tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout, SelfAttention


class Mlp(nn.Module):
    """Two linear layers with GELU between. [..., in_dim] -> [..., out_dim]."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_dim] -> [..., out_dim]."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer layer: attention, then MLP, each added to its input."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float, null_weight: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = SelfAttention(embed_dim, num_heads, null_weight)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), embed_dim)

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """[T, D] -> [T, D]."""
        x = x + self.attn(self.norm1(x), layout)
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """`depth` pre-norm layers and a last LayerNorm, on packed tokens.

    Args:
        embed_dim: width D.
        depth: number of layers.
        num_heads: attention heads of each layer.
        mlp_ratio: hidden width of the MLPs over D.
        input_weight: None: the output is that of the last layer. A number: it is the sum of what all layers say,
            each layer-normalised, and of the input with this weight: how much a token speaks of itself and how
            much of its surroundings (layers averaged as in data2vec, Baevski et al. 2022).
        null_weight: see `packed_attention`.
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
        """[T, D] -> [T, D]."""
        if self.input_weight is None:
            for block in self.blocks:
                x = block(x, layout)
            return self.norm(x)
        total = self.input_weight * _normalised(x)
        for block in self.blocks:
            x = block(x, layout)
            total = total + _normalised(x)
        return self.norm(total)


def _normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def init_weights(module: nn.Module) -> None:
    """Truncated normal (0.02) for linear layers, zero biases, identity norms: ViT's usual start (use with `apply`)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
