"""Optimiser of all training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from geojepa_cli.config.schema import TrainConfig

DECAYS = "decays"  # of a group of parameters: True if they have weight decay, which may be 0 at first
LR_SHARE = "lr_share"  # of a group of parameters: its learning rate, divided by that of the configuration


def build_optimizer(
    module: nn.Module, config: TrainConfig, lr_shares: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """Returns an AdamW optimiser for all trainable parameters of a module.

    Weight decay applies to weight matrices only, not to biases, normalisation layers, mask tokens and register tokens.

    Args:
        module: module to train.
        config: learning rate, weight decay and momenta.
        lr_shares: for parameters whose names start with a text, the share of the learning rate. These parameters form
            further groups, with the entry `lr_share`.
    """
    parts = _groups(module, config, "", tuple(lr_shares or ()))
    for start, share in (lr_shares or {}).items():
        parts += [{**group, "lr": config.lr * share, LR_SHARE: share} for group in _groups(module, config, start)]
    return torch.optim.AdamW(parts, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all parameters. Those with a share of it have that share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(LR_SHARE, 1.0)


def set_weight_decay(optimizer: torch.optim.Optimizer, decay: float) -> None:
    """Sets the weight decay of the parameters that have one, which are the matrices."""
    for group in optimizer.param_groups:
        if group[DECAYS]:
            group["weight_decay"] = decay


def _groups(module: nn.Module, config: TrainConfig, start: str, others: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Returns the parameters with and without weight decay whose names start with a text, but not with others."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and name.startswith(start) and not name.startswith(others):
            is_matrix = parameter.ndim > 1 and not name.endswith("registers")
            (decayed if is_matrix else free).append(parameter)
    return [
        {"params": decayed, "weight_decay": config.weight_decay, DECAYS: True},
        {"params": free, "weight_decay": 0.0, DECAYS: False},
    ]
