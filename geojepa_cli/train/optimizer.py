"""Optimiser of all training runs."""

from __future__ import annotations

import torch
from torch import nn

from geojepa_cli.config.schema import TrainConfig


def build_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Returns an AdamW optimiser for all trainable parameters of a module.

    Weight decay applies to weight matrices only, not to biases, normalisation layers, mask tokens and register tokens.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim > 1 and not name.endswith("registers")
            (decayed if is_matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)
