"""Exponential moving average (EMA) of a module's weights. JEPA models use it for the target encoder."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_ema(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Sets each parameter of `target` to momentum · target + (1 − momentum) · source.

    Args:
        target: module to update.
        source: module with parameters of the same shapes.
        momentum: weight of the old value, 0 to 1.
    """
    towards = [parameter.data for parameter in source.parameters()]
    torch._foreach_lerp_(cast("list[Tensor]", [p.data for p in target.parameters()]), towards, 1.0 - momentum)
