"""Multilayer perceptron with two layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Two linear layers with GELU in between.

    Args:
        in_dim: input width.
        hidden_dim: width between the layers.
        out_dim: output width.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [..., in_dim] to [..., out_dim]."""
        return self.fc2(F.gelu(self.fc1(x)))
