"""Transformer for packed sequences (see `nn.packing`). Normalises before attention and MLP (pre-norm)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geojepa_cli.nn.attention import SelfAttention
from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.layers.recompute import gelu_linear, norm_linear
from geojepa_cli.nn.layouts import PackedLayout, SharedLayout

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Block(nn.Module):
    """Transformer layer: self-attention and MLP, each after a layer normalisation and with a residual connection.

    Args:
        embed_dim: width D.
        num_heads: number of attention heads.
        mlp_ratio: hidden width of the MLP, divided by D.
        null_weight: number of virtual tokens with score 0 and value 0 that attention adds to every sequence.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float, null_weight: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = SelfAttention(embed_dim, num_heads, null_weight)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), embed_dim)
        self.compiled: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None

    def forward(self, x: Tensor, layout: PackedLayout | SharedLayout) -> Tensor:
        """Returns the layer's output for each token. [T, D] -> [T, D]."""
        before, after = self.compiled or (before_attention, after_attention)
        qkv = before(x, *_parameters(self.norm1), *_parameters(self.attn.qkv))
        mixed = self.attn.attend(qkv, layout)
        mlp = (*_parameters(self.mlp.fc1), *_parameters(self.mlp.fc2))
        return after(x, mixed, *_parameters(self.attn.proj), *_parameters(self.norm2), *mlp)


def before_attention(x: Tensor, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Computes the first part of a transformer layer: normalisation, then queries, keys and values. [T, D] -> [T, 3·D].

    The weights are arguments, so that all layers can use the same compiled function.
    """
    return norm_linear(x, norm_weight, norm_bias, weight, bias)


def after_attention(
    x: Tensor,
    mixed: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    fc1_weight: Tensor,
    fc1_bias: Tensor,
    fc2_weight: Tensor,
    fc2_bias: Tensor,
) -> Tensor:
    """Computes the second part of a transformer layer from its input `x` and the result `mixed` of attention.

    Applies the output projection of attention, then the MLP, each with a residual connection. Returns [T, D].
    """
    x = x + F.linear(mixed, proj_weight, proj_bias)
    hidden = norm_linear(x, norm_weight, norm_bias, fc1_weight, fc1_bias)
    return x + gelu_linear(hidden, fc2_weight, fc2_bias)


def _parameters(module: nn.Linear | nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return module.weight, module.bias


class Transformer(nn.Module):
    """Stack of transformer layers, followed by a LayerNorm.

    By default, the LayerNorm reads the output of the last layer. If `input_weight` is set, it reads a sum instead: the
    outputs of all layers, plus `input_weight` times the input. The input and the layer outputs are layer-normalised
    before they are added. A higher `input_weight` makes the output for a token depend more on the token's own content,
    and less on the other tokens of its tile. data2vec (Baevski et al. 2022) averages layers in a similar way.

    Args:
        embed_dim: width D.
        depth: number of layers.
        num_heads: number of attention heads of each layer.
        mlp_ratio: hidden width of the MLPs, divided by D.
        input_weight: weight of the input in the sum. None uses the output of the last layer instead of the sum.
        null_weight: number of virtual tokens with score 0 and value 0 that attention adds to every sequence.
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
        self.recompute = False
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_ratio, null_weight) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor, layout: PackedLayout | SharedLayout) -> Tensor:
        """Returns the transformer's output for each token. [T, D] -> [T, D]."""
        if self.input_weight is None:
            for block in self.blocks:
                x = self._run(block, x, layout)
            return self.norm(x)
        total = self.input_weight * _normalise(x)
        for block in self.blocks:
            x = self._run(block, x, layout)
            total = total + _normalise(x)
        return self.norm(total)

    def _run(self, block: nn.Module, x: Tensor, layout: PackedLayout | SharedLayout) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            output: Tensor = checkpoint(block, x, layout, use_reentrant=False, preserve_rng_state=False)
            return output
        result: Tensor = block(x, layout)
        return result


def compile_blocks(module: nn.Module) -> None:
    """Compiles the transformer layers in a module with `torch.compile`, except attention.

    One compiled version serves all layers of the same width. Sequence lengths are dynamic.
    """
    compiled = tuple(torch.compile(part, dynamic=True) for part in (before_attention, after_attention))
    for block in _modules(module, Block):
        block.compiled = compiled[0], compiled[1]


def recompute_activations(module: nn.Module) -> None:
    """Makes all transformers in a module compute the activations of each layer again in the backward pass.

    Training then stores only one vector per token and layer (activation checkpointing, Chen et al. 2016).
    """
    for transformer in _modules(module, Transformer):
        transformer.recompute = True


def _modules(module: nn.Module, kind: type[ModuleT]) -> Iterator[ModuleT]:
    return (part for part in module.modules() if isinstance(part, kind))


def _normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
