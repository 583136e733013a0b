"""Weight initialisation."""

from __future__ import annotations

from torch import nn


def init_weights(module: nn.Module) -> None:
    """Initialises the weights of a linear layer or LayerNorm as in ViT. Use it with `nn.Module.apply`.

    Weights of linear layers are truncated normal with standard deviation 0.02, biases are zero. A LayerNorm has weight
    1 and bias 0.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
