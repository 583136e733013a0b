"""Learning rate and weight decay as functions of the completed fraction of training."""

from __future__ import annotations

import math

from geojepa_cli.config.schema import TrainConfig


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Returns the learning rate after a fraction of the training.

    The learning rate first rises linearly (warm-up). With the schedule `cosine` (GeoJEPA thesis, table 34), it then
    falls along a cosine. With the schedule `wsd`, it stays constant and falls linearly at the end (cool-down).

    Args:
        config: peak and final learning rate, and fractions of the training for warm-up and cool-down.
        progress: completed fraction of the training, 0 to 1.
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
    """Returns the weight decay after a fraction of the training.

    The weight decay is constant at the setting `weight_decay`, unless `weight_decay_end` is set. Then it changes along
    a cosine from `weight_decay` to `weight_decay_end` (GeoJEPA thesis).

    Args:
        config: configuration with both values.
        progress: completed fraction of the training, 0 to 1.
    """
    if config.weight_decay_end is None:
        return config.weight_decay
    share = 0.5 * (1.0 - math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.weight_decay + share * (config.weight_decay_end - config.weight_decay)
