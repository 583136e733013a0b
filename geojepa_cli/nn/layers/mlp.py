"""Multilayer perceptron (MLP) with two layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Multilayer perceptron: linear layer, GELU, linear layer.

    Args:
        in_dim: input width.
        hidden_dim: width of the hidden layer.
        out_dim: output width.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the MLP to the last dimension of `x`. [..., in_dim] -> [..., out_dim]."""
        return self.fc2(F.gelu(self.fc1(x)))
