"""Metrics, schedules and the plot of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tile_batches import random_batch, tag_table
from training import config_of

from geojepa_cli.evaluate.plots.training import plot_metrics
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.pretraining import ema_momentum
from geojepa_cli.train.monitor import collapse_metrics
from geojepa_cli.train.schedule import learning_rate, weight_decay


def test_collapsed_vectors_are_detected() -> None:
    encoder = build_encoder(config_of().model).eval()
    batch, table = random_batch([20] * 8), tag_table()
    with torch.no_grad():
        healthy = collapse_metrics(encoder(batch, table))
        encoder.encoder.transformer.norm.weight.zero_()  # every token the same
        encoder.encoder.transformer.norm.bias.fill_(1.0)
        collapsed = collapse_metrics(encoder(batch, table))
    assert collapsed["rankme_tokens"] == collapsed["rankme_tiles"] == 1.0
    assert collapsed["std_tokens"] == 0.0
    assert collapsed["similarity_tokens"] == pytest.approx(1.0)
    assert healthy["rankme_tokens"] > 5 and healthy["std_tokens"] > 0.1


def test_the_learning_rate_warms_up_stays_and_cools_down() -> None:
    train = config_of("train.lr=1.0", "train.lr_end=0.0", "train.warmup=0.1", "train.cooldown=0.2").train
    rates = [learning_rate(train, progress) for progress in (0.0, 0.05, 0.1, 0.5, 0.8, 0.9, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0])


def test_the_thesis_schedules_follow_their_formulas() -> None:
    train = config_of(
        "train.schedule=cosine", "train.lr=1.0", "train.lr_end=0.2", "train.warmup=0.1", "train.weight_decay=0.04",
        "train.weight_decay_end=0.4", "train.ema_momentum=0.99", "train.ema_momentum_end=1.0",
    ).train  # fmt: skip
    for progress in (0.1, 0.4, 1.0):
        expected = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))
        assert learning_rate(train, progress) == pytest.approx(expected)
        assert weight_decay(train, progress) == pytest.approx(0.4 - 0.36 * 0.5 * (1 + math.cos(math.pi * progress)))
        assert ema_momentum(train, progress) == pytest.approx(0.99 + 0.01 * progress)


def test_the_plot_of_a_log_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    lines = [json.loads(f'{{"step": {i}, "loss": {2 - i / 10}, "lr": 0.1}}') for i in range(5)]
    for name in ("a.png", "b.png"):
        plot_metrics(lines, tmp_path / name, "tiny")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
