"""The training loop: it learns, resumes to the bit, stops at its limits, and trains any `Pretrainable`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_store import write_synthetic_images
from torch import Tensor, nn
from training import Trained, config_of, kill_at, open_data, same_weights, train_in, write_region

from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.config.names import METRICS
from geojepa_cli.errors import GeojepaError
from geojepa_cli.models.base import BatchVectors, StepLosses
from geojepa_cli.models.jepa.build import build_jepa
from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train
from geojepa_cli.train.optimizer import build_optimizer
from geojepa_cli.train.steps import generator


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


def test_the_loss_falls_and_the_target_does_not_collapse(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=60", "train.lr=3e-3", "loss.vicreg_beta=0.05", "loss.tile_weight=1")
    trained = train_in(tmp_path, region, config)
    lines = read_metrics(tmp_path / METRICS)
    assert trained.result.stopped_by == "max_steps"
    assert lines[-1]["step"] == 60
    assert lines[-1]["loss"] < 0.8 * lines[1]["loss"]
    assert lines[-1]["rankme_tokens"] > 5
    assert lines[-1]["similarity_tokens"] < 0.95


RESUMED = ("train.max_steps=14", "train.accumulation=2")


@pytest.fixture(scope="module")
def undisturbed(region: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A run that was not killed, and its folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return train_in(folder, region, config_of(*RESUMED)), folder


@pytest.mark.parametrize("killed_at", [5, 8, 12])
def test_a_killed_run_resumes_and_ends_with_the_same_weights_and_log(
    region: Path, undisturbed: tuple[Trained, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    whole, folder = undisturbed
    assert whole.result.resumed_from is None
    kill_at(killed_at, monkeypatch, tmp_path, region, config_of(*RESUMED))
    resumed = train_in(tmp_path, region, config_of(*RESUMED))
    assert resumed.result.resumed_from == killed_at // 5 * 5
    assert same_weights(whole.module, resumed.module)
    assert (folder / METRICS).read_bytes() == (tmp_path / METRICS).read_bytes()


class TagWeights:
    """Another family: learns a weight per tag dimension, so that weighted tag means have unit variance."""

    needs = TAGS_ONLY

    def __init__(self, tag_table: Tensor) -> None:
        self.module = nn.Module()
        self.module.scale = nn.Parameter(torch.ones(tag_table.shape[1]))
        self.table = tag_table
        self.finished: list[float] = []

    def embed(self, batch: TileBatch) -> BatchVectors:
        entities = mean_tags(self.table, batch.tag_ids, batch.tag_offsets) * self.module.scale
        return BatchVectors(entities, max_mean(entities, batch.cu_seqlens))

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        def losses() -> StepLosses:
            loss = (self.embed(batch).entities.std(0) - 1).square().mean()
            return StepLosses(loss, {"loss": loss.detach()}, batch.n_tokens)

        return losses

    def finish_step(self, progress: float) -> None:
        self.finished.append(progress)

    def activation_bytes(self, tokens: int) -> int:
        return 0

    def parameter_counts(self) -> dict[str, int]:
        return {"parameters": self.module.scale.numel()}


def test_the_loop_trains_a_model_that_is_not_jepa(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=40", "train.lr=0.1", "train.weight_decay=0")
    data = open_data(region, config)
    model = TagWeights(data.inputs.tag_table)
    result = train(model, data, config.train, tmp_path, 0)  # type: ignore[arg-type]
    lines = read_metrics(tmp_path / METRICS)
    assert result.progress.step == 40 and lines[-1]["loss"] < 0.5 * lines[1]["loss"]
    assert model.finished == pytest.approx([step / 40 for step in range(40)])
    assert "rankme_tiles" in lines[-1]


def test_the_predicted_tile_vector_is_trained_and_logged(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=60", "train.lr=3e-3", "model.predict_tile=true", "masking.kind=0.5")
    train_in(tmp_path, region, config)
    lines = read_metrics(tmp_path / METRICS)
    assert lines[-1]["prediction_tile"] < 0.8 * lines[1]["prediction_tile"]
    without = config_of("train.max_steps=4", "model.predict_tile=false")
    train_in(tmp_path / "without", region, without)
    assert "prediction_tile" not in read_metrics(tmp_path / "without" / METRICS)[-1]


def test_another_seed_trains_another_model(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=2")
    modules = [train_in(tmp_path / str(i), region, config, seed).module for i, seed in enumerate((0, 0, 1))]
    assert same_weights(modules[0], modules[1])
    assert not same_weights(modules[0], modules[2])


def test_a_frozen_tag_projection_stays_while_the_rest_learns(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=3", "model.freeze_tags=true", "train.weight_decay=0.5")
    first = build_jepa(config.model, 0).target_encoder
    module = train_in(tmp_path, region, config).module
    kept, moved = module.target_encoder.tokens.tokenizer, module.target_encoder.encoder.transformer.blocks[0]
    assert torch.equal(kept.tags.weight, first.tokens.tokenizer.tags.weight)
    assert torch.equal(kept.tags_norm.bias, first.tokens.tokenizer.tags_norm.bias)
    before = first.encoder.transformer.blocks[0].state_dict()
    assert not torch.equal(moved.state_dict()["mlp.fc1.weight"], before["mlp.fc1.weight"])


def test_no_steps_leave_the_first_weights(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=0")
    trained = train_in(tmp_path, region, config)
    assert trained.result.progress.step == 0
    assert same_weights(trained.module, build_jepa(config.model, 0))
    assert [line["step"] for line in read_metrics(tmp_path / METRICS)] == [0]


def test_it_stops_by_epochs_after_that_many_passes(region: Path, tmp_path: Path) -> None:
    trained = train_in(tmp_path, region, config_of("train.max_steps=null", "train.epochs=2"))
    progress, data = trained.result.progress, trained.data
    assert (trained.result.stopped_by, progress.epoch, progress.batch) == ("epochs", 2, 0)
    assert progress.tiles == 2 * len(data.view.tiles)
    assert progress.tokens == 2 * int(data.store.lengths(data.view).sum())


def test_it_stops_by_time(region: Path, tmp_path: Path) -> None:
    result = train_in(tmp_path, region, config_of("train.max_steps=100000", "train.max_minutes=0.005")).result
    assert result.stopped_by == "max_minutes"
    assert 0 < result.progress.step < 100_000
    assert result.progress.elapsed_s >= 0.3


def test_a_loss_that_is_not_finite_is_an_error_with_a_lower_rate(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=5")
    data = open_data(region, config)
    model = build(config, data.inputs, 0)
    with torch.no_grad():
        next(model.module.predictor.parameters()).fill_(math.nan)
    with pytest.raises(GeojepaError, match="step 0") as caught:
        train(model, data, config.train, tmp_path, 0)
    assert "train.lr=" in str(caught.value.hint) and "--no-resume" in str(caught.value.hint)


def test_images_are_trained_on(region: Path, tmp_path: Path) -> None:
    config = config_of("model.modalities=[tags, image]", "model.patch_px=112", "train.max_steps=3")
    zxy = open_data(region, config_of()).store.tile_zxy[::2]
    images = write_synthetic_images(tmp_path / "images.h5", [tuple(map(int, tile)) for tile in zxy])
    before = build_jepa(config.model, 0).context_encoder.tokens.tokenizer.image
    trained = train_in(tmp_path, region, config, data=open_data(region, config, images=images))
    after = trained.module.context_encoder.tokens.tokenizer.image
    assert before is not None and after is not None
    assert not torch.equal(before.proj.weight, after.proj.weight)
    assert read_metrics(tmp_path / METRICS)[-1]["step"] == 3


def test_tiles_held_on_the_device_train_the_same_model_as_tiles_read_from_files(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=4")
    modules = []
    for free_bytes, held in ((0, False), (1000, False), (1 << 30, True)):
        data = open_data(region, config).to(torch.device("cpu"), free_bytes)
        assert (data.resident is not None) == held
        modules.append(train_in(tmp_path / str(free_bytes), region, config, data=data).module)
    assert same_weights(modules[0], modules[1])
    assert same_weights(modules[0], modules[2])


def test_norms_biases_and_single_tokens_have_no_weight_decay() -> None:
    module = build_jepa(config_of("model.num_register_tokens=2").model, 0)
    decayed, free = (group["params"] for group in build_optimizer(module, config_of().train).param_groups)
    assert {p.ndim for p in decayed} == {2}
    assert any(p is module.context_encoder.encoder.registers for p in free)
    assert len(decayed) + len(free) == sum(p.requires_grad for p in module.parameters())


def test_a_ramp_of_weight_decay_from_0_is_applied_to_matrices_alone(region: Path, tmp_path: Path) -> None:
    settings = ("train.max_steps=4", "train.weight_decay=0", "train.weight_decay_end=0.4")
    config = config_of(*settings)
    used: list[list[float]] = []
    step = torch.optim.AdamW.step

    def recording(self: torch.optim.AdamW, *given: Any) -> Any:
        used.append([group["weight_decay"] for group in self.param_groups])
        return step(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", recording)
        train_in(tmp_path, region, config)
    expected = [0.2 * (1 - math.cos(math.pi * done / 4)) for done in range(4)]
    assert [decays[0] for decays in used] == pytest.approx(expected)
    assert {decay for decays in used for decay in decays[1:]} == {0.0}


def test_generators_are_a_function_of_seed_and_place() -> None:
    draws = [
        torch.rand(3, generator=generator(*place)).tolist() for place in [(0, 1, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
    ]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3
