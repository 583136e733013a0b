"""First weights."""

from __future__ import annotations

from torch import nn


def init_weights(module: nn.Module) -> None:
    """Initialises a module as ViT does; use with `apply`.

    Linear layers are truncated normal (0.02) with zero biases, LayerNorms the identity.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
