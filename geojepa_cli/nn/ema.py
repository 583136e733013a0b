"""Exponential moving average (EMA) of weights, for the target encoder."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_ema(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Sets target = momentum · target + (1 − momentum) · source for all parameters of two modules of equal shape."""
    towards = [parameter.data for parameter in source.parameters()]
    torch._foreach_lerp_(cast("list[Tensor]", [p.data for p in target.parameters()]), towards, 1.0 - momentum)
