"""Each collapse that is injected into a training run is named within 200 steps. Healthy runs raise no alarm."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_images
from torch import Tensor
from training import config_of, open_data, write_region

from geojepa_cli.config.names import METRICS
from geojepa_cli.metrics.spread import spread
from geojepa_cli.models.jepa.encoder import TileEncoder
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.store.image_tokens import ImageTokenKind, write_image_tokens
from geojepa_cli.train.alarms import Alarms, Finding, find_collapse
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train

PRESET = ("model.pooling=counts", "model.place_weight=0.05", "model.summary_dim=512")  # which `config_of` leaves out
IMAGES = ("model.modalities=[tags, image]", "model.patch_px=112")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A region with an image of every tile."""
    folder = write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")
    zxy = open_data(folder, config_of("train.epochs=1")).store.tile_zxy
    write_synthetic_images(folder / "images.h5", [tuple(map(int, tile)) for tile in zxy])
    kind, rng = ImageTokenKind("efficientnet_b0", "sha256-000000000000"), np.random.default_rng(0)
    shape = (1, kind.form.tokens, kind.form.dim)
    batches = (rng.standard_normal(shape).astype(np.float32) for _ in zxy)
    write_image_tokens(folder / "image_tokens.h5", len(zxy), kind, batches)
    return folder


def open_region(region: Path, *overrides: str) -> tuple[TrainingData, JepaPretraining, Any]:
    config = config_of("train.log_every=50", "train.checkpoint_every=1000", "train.batch_tokens=200", *overrides)
    images = region / "images.h5" if "image" in config.model.modalities else None
    data = open_data(region, config, images=images, tokens=region / "image_tokens.h5")
    return data, build(config, data.inputs, 0), config


def all_sentences(lines: list[dict[str, Any]]) -> list[str]:
    return [sentence for line in lines for sentence in line.get("warnings", ())]


def constant(x: Tensor) -> Tensor:
    return 0 * x + 1.5


def rank_one(x: Tensor) -> Tensor:
    return x[:, :1] * torch.linspace(0.5, 1.5, x.shape[1])


def half_dead(x: Tensor) -> Tensor:
    return torch.cat([x[:, : x.shape[1] // 2], constant(x[:, x.shape[1] // 2 :])], 1)


def output(encoder: TileEncoder) -> torch.nn.Module:
    return encoder.encoder


def image_tokens(encoder: TileEncoder) -> torch.nn.Module:
    assert encoder.tokens.tokenizer.image_norm is not None
    return encoder.tokens.tokenizer.image_norm


def tag_tokens(encoder: TileEncoder) -> torch.nn.Module:
    return encoder.tokens.tokenizer.tags_norm


COLLAPSES = {
    "constant output": (
        output,
        constant,
        (),
        r"representations collapsed at step N: all tile vectors are nearly equal",
    ),
    "constant output, counts": (
        output,
        constant,
        PRESET,
        r"representations collapsed at step N: all entity vectors are nearly equal",
    ),
    "rank 1": (output, rank_one, (), r"representations collapsed at step N: effective rank 1 of 32 \(entity vectors\)"),
    "dead dimensions": (
        output,
        half_dead,
        (),
        r"dead dimensions at step N: 16 of 32 dimensions of the entity vectors are constant",
    ),
    "images constant": (image_tokens, constant, IMAGES, r"modality `image` is constant at step N: .* by 0\.0 %"),
    "tokens of a frozen encoder constant": (
        image_tokens,
        constant,
        ("model.modalities=[tags, image]", "model.image_encoder=efficientnet_b0"),
        r"modality `image` is constant at step N: .* by 0\.0 %",
    ),
    "tags constant": (tag_tokens, constant, IMAGES, r"modality `tags` is constant at step N: .* by 0\.0 %"),
}


LATER = [pytest.param(name, 130, marks=pytest.mark.slow) for name in ("rank 1", "images constant")]


@pytest.mark.parametrize(("collapse", "injected_at"), [*((name, 0) for name in COLLAPSES), *LATER])
def test_an_injected_collapse_is_named_within_200_steps(
    region: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], collapse: str, injected_at: int
) -> None:
    part, change, overrides, sentence = COLLAPSES[collapse]
    data, model, config = open_region(region, f"train.max_steps={injected_at + 100}", *overrides)
    _inject_at(injected_at, model, part, change)
    train(model, data, config.train, tmp_path, 0)
    lines = read_metrics(tmp_path / METRICS)
    pattern = re.compile(sentence.replace("N", "([0-9,]+)"))
    found = [pattern.match(words) for words in all_sentences(lines)]
    steps = [int(match[1].replace(",", "")) for match in found if match]
    assert len(steps) == 1, "the warning is given once"
    assert injected_at < steps[0] <= injected_at + 200
    assert any(line["step"] == steps[0] and line["warnings"] for line in lines)
    assert re.search("warning: .*" + sentence.replace("N", f"{steps[0]:,}"), capsys.readouterr().err)


def _inject_at(
    step: int,
    model: JepaPretraining,
    part: Callable[[TileEncoder], torch.nn.Module],
    change: Callable[[Tensor], Tensor],
) -> None:
    """Changes the output of a part of both encoders, from a step on."""
    encoders = (model.module.context_encoder, model.module.target_encoder)
    done = 0

    def inject() -> None:
        for encoder in encoders:
            part(encoder).register_forward_hook(lambda module, inputs, x: change(x))

    finish = model.finish_step

    def finish_step(progress: float) -> None:
        nonlocal done
        finish(progress)
        done += 1
        if done == step:
            inject()

    model.finish_step = finish_step  # type: ignore[method-assign]
    if step == 0:
        inject()


HEALTHY = {
    "tiny": PRESET,
    "images": IMAGES,
    "vicreg on tiles": ("loss.tile_weight=1", "model.predict_tile=false", "train.lr=5e-3"),
    "thesis": (
        *("model.input_weight=null", "model.null_weight=0", "model.position=corners", "masking.num_targets=4"),
        *("train.schedule=cosine", "train.ema_momentum=0.9", "train.ema_momentum_end=1.0"),
        *("train.weight_decay_end=0.4", "model.predict_tile=false", "model.freeze_tags=false"),
    ),
    "registers": ("model.num_register_tokens=4", "model.freeze_tags=false", "train.ema_momentum=0.9"),
}


QUICK = ("tiny", "vicreg on tiles", "thesis")  # the others take half a minute each


@pytest.mark.parametrize(
    ("seed", "name"),
    [pytest.param(i, name, marks=() if name in QUICK else pytest.mark.slow) for i, name in enumerate(HEALTHY)],
)
def test_a_healthy_run_raises_no_alarm(region: Path, tmp_path: Path, name: str, seed: int) -> None:
    data, _, config = open_region(region, "train.max_steps=200", "train.monitor_every=25", *HEALTHY[name])
    model = build(config, data.inputs, seed)
    train(model, data, config.train, tmp_path, seed)
    lines = read_metrics(tmp_path / METRICS)
    assert all_sentences(lines) == []
    assert sum("rankme_tiles" in line for line in lines) == 9


def test_vectors_that_shrink_to_a_point_are_nearly_equal_although_their_rank_is_high() -> None:
    """A real run without regulariser and EMA ends like this: all directions shrink alike."""
    shrunk = 1.0 + 0.03 * torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    found = find_collapse("tiles", "tile vectors", spread(shrunk), 30.0, *shrunk.shape)
    assert [finding.kind for finding in found] == ["constant tiles"]
    assert "differ by 3.0 % of their length" in found[0].sentence


def test_a_warning_needs_two_looks_and_comes_back_only_after_a_recovery() -> None:
    alarms, finding = Alarms(), [Finding("rank tiles", "low at step {step}")]
    looks = [(100, finding), (150, []), (200, finding), (250, finding), (300, finding), (350, []), (400, finding)]
    assert [alarms.update(found, step) for step, found in looks] == [[], [], [], ["low at step 250"], [], [], []]
    assert Alarms(**alarms.as_json()).update(finding, 1450) == ["low at step 1,450"]


def test_one_look_is_enough_if_looks_are_far_apart() -> None:
    alarms, finding = Alarms(), [Finding("rank tiles", "low at step {step}")]
    looks = [(0, finding), (500, finding), (1000, []), (1500, finding)]
    assert [alarms.update(found, step) for step, found in looks] == [[], ["low at step 500"], [], ["low at step 1,500"]]


def test_no_warning_is_given_while_an_untrained_model_settles() -> None:
    alarms, finding = Alarms(), [Finding("rank tiles", "low at step {step}")]
    assert [alarms.update(finding, step) for step in (0, 25, 50, 75)] == [[], [], [], []]
    assert alarms.update(finding, 100) == ["low at step 100"]
