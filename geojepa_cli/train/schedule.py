"""Schedules of learning rate and weight decay, as functions of the share of the training done."""

from __future__ import annotations

import math

from geojepa_cli.config.schema import TrainConfig


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Returns the rate: linear warm-up, then constant and a linear cool-down (`wsd`), or a cosine (thesis table 34).

    Args:
        config: peak and final rate, shares of warm-up and cool-down.
        progress: 0 at the start, 1 at the end.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < config.warmup:
        return config.lr * progress / config.warmup
    if config.schedule == "cosine":
        after = (progress - config.warmup) / max(1.0 - config.warmup, 1e-12)
        return config.lr_end + 0.5 * (config.lr - config.lr_end) * (1.0 + math.cos(math.pi * after))
    left = (1.0 - progress) / config.cooldown if config.cooldown else 1.0
    return config.lr_end + (config.lr - config.lr_end) * min(left, 1.0)


def weight_decay(config: TrainConfig, progress: float) -> float:
    """Returns the weight decay: constant, or a cosine from its first to its last value (thesis)."""
    if config.weight_decay_end is None:
        return config.weight_decay
    share = 0.5 * (1.0 - math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.weight_decay + share * (config.weight_decay_end - config.weight_decay)
