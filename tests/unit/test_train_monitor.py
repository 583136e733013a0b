"""Metrics, schedules and the plot of a run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tile_batches import random_batch, tag_table
from training import config_of, open_data, write_region

from geojepa_cli.config.modality import Modality
from geojepa_cli.evaluate.plots.training import plot_metrics
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.pretraining import ema_momentum
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train.monitor import MONITOR_TOKENS, collapse_figures, draw_tiles, exchange
from geojepa_cli.train.schedule import learning_rate, weight_decay


def test_the_figures_show_collapsed_vectors() -> None:
    encoder = build_encoder(config_of().model).eval()
    batch, table = random_batch([20] * 8), tag_table()
    with torch.no_grad():
        healthy, _ = collapse_figures(encoder(batch, table), batch.cu_seqlens)
        encoder.encoder.transformer.norm.weight.zero_()  # every token the same
        encoder.encoder.transformer.norm.bias.fill_(1.0)
        collapsed, findings = collapse_figures(encoder(batch, table), batch.cu_seqlens)
    assert collapsed["rankme_tokens"] == collapsed["rankme_tiles"] == 1.0
    assert collapsed["std_tokens"] == collapsed["spread_tokens"] == 0.0
    assert collapsed["similarity_tokens"] == pytest.approx(1.0)
    assert collapsed["similarity_within"] == pytest.approx(1.0) == collapsed["similarity_between"]
    assert collapsed["dead_tokens"] == 1.0 and healthy["dead_tokens"] == 0.0
    assert healthy["rankme_tokens"] > 5 and healthy["std_tokens"] > 0.1
    assert [finding.kind for finding in findings] == ["constant tokens"]  # eight tiles are too few to judge


def test_image_patches_have_figures_too() -> None:
    encoder = build_encoder(config_of("model.modalities=[tags, image]", "model.patch_px=56").model).eval()
    batch, table = random_batch([5] * 6), tag_table()
    pixels = torch.randint(0, 256, (3, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, images=pixels, image_tiles=torch.tensor([0, 2, 5]))
    with torch.no_grad():
        vectors = encoder(batch, table)
        places = encoder.tokens.tokenizer.place(batch)
        encoded = encoder.encoder(encoder.tokens(batch, table, places), encoder.encoder.sequences(places.cu_seqlens))
        patches = encoded[places.modality == Modality.IMAGE.number]
        figures, _ = collapse_figures(vectors, batch.cu_seqlens)
    assert vectors.patches is not None and torch.equal(vectors.patches, patches) and len(patches) == 3 * 16
    assert figures["std_image"] == pytest.approx(float(patches.std(0).mean()), rel=1e-5)


def tile_batch(lengths: list[int]) -> TileBatch:
    """Random tiles as the class that the store returns; what tokens do not need is zero."""
    tokens, n = random_batch(lengths), sum(lengths)
    zeros = torch.zeros(n, dtype=torch.int64)
    return TileBatch(
        *(torch.arange(len(lengths)), torch.zeros(len(lengths), 3, dtype=torch.int64), tokens.cu_seqlens, tokens.box),
        *(zeros, zeros, zeros, tokens.tag_ids, tokens.tag_offsets, zeros, zeros, zeros),
    )


def test_exchanged_tags_are_those_of_an_entity_half_a_batch_away() -> None:
    batch = tile_batch([3, 0, 8, 4])
    changed = exchange(batch, Modality.TAGS)
    before, after = (
        [b.tag_ids[b.tag_offsets[i] : b.tag_offsets[i + 1]].tolist() for i in range(15)] for b in (batch, changed)
    )
    assert after == [before[(i - 7) % 15] for i in range(15)]
    assert torch.equal(changed.box, batch.box)


def test_the_monitor_reads_a_limited_number_of_entities(tmp_path: Path) -> None:
    write_region(tmp_path)
    data = open_data(tmp_path, config_of("train.max_steps=1"))
    rows = draw_tiles(data.store, data.view, data.view.tiles, 50, seed=0)
    assert len(set(rows.tolist())) == 50 and set(rows) <= set(data.view.tiles)
    lengths = data.store.lengths(data.view)
    dense = np.repeat(data.view.tiles, 1 + 3 * MONITOR_TOKENS // lengths.sum())
    many = draw_tiles(data.store, data.view, dense, 10**6, seed=0)
    assert MONITOR_TOKENS - lengths.max() < data.store.compiled(data.view).lengths[many].sum() <= MONITOR_TOKENS


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
    lines = [json.loads(f'{{"step": {i}, "loss": {2 - i / 10}, "lr": 0.1, "loss_x": {i}}}') for i in range(5)]
    lines[3]["warnings"] = ["representations collapsed at step 3: effective rank 1 of 8 (tile vectors)"]
    for name in ("a.png", "b.png"):
        plot_metrics(lines, tmp_path / name, "tiny")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
