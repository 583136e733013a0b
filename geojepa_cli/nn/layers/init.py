"""Initial weights of layers."""

from __future__ import annotations

from torch import nn


def init_weights(module: nn.Module) -> None:
    """Initialises a layer as in ViT (Vision Transformer). Pass this function to `nn.Module.apply`.

    The weights of a linear layer are drawn from a truncated normal distribution with standard deviation 0.02. Its bias
    is 0. A LayerNorm gets weight 1 and bias 0. Other layers are not changed.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
