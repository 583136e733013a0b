"""Training: it learns, it resumes to the bit, it stops where told, and it notices collapse."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from geojepa_cli.models.jepa.load import load_encoder, save_model
from synthetic_store import TAGS, write_synthetic_features, write_synthetic_images, write_synthetic_processed
from tile_batches import random_batch, tag_table

from geojepa_cli.config.schema import PretrainConfig, load_config
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.evaluate.plots.training import plot_metrics
from geojepa_cli.models.jepa.build import build_encoder, build_jepa
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.train import loop
from geojepa_cli.train.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import METRICS, Result, build_optimizer, generator, pretrain_jepa
from geojepa_cli.train.monitor import collapse_figures, read_metrics
from geojepa_cli.train.schedule import ema_momentum, learning_rate, weight_decay

SMALL = [
    "model.tag_dim=16",
    "model.embed_dim=32",
    "model.depth=2",
    "model.num_heads=2",
    "model.predictor_dim=16",
    "model.predictor_depth=1",
    "model.predictor_heads=2",
    "train.batch_tokens=400",
    "train.log_every=4",
    "train.checkpoint_every=5",
]
VOCAB = sum(map(len, TAGS.values()))


def config_of(*overrides: str) -> PretrainConfig:
    return load_config("tiny", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions") / "oak@000000000000"
    write_synthetic_processed(folder / "processed.h5", seed=1, n_tiles=150)
    write_synthetic_features(folder / "tags.h5", VOCAB, width=16)
    return folder


def opened(region: Path, config: PretrainConfig, seed: int = 0) -> TrainingData:
    return TrainingData.open(config, [region / "processed.h5"], [region / "tags.h5"], [None], seed)


def trained(region: Path, folder: Path, config: PretrainConfig, seed: int = 0) -> tuple[Jepa, Result]:
    folder.mkdir(exist_ok=True)
    model = build_jepa(config.model, seed)
    return model, pretrain_jepa(model, opened(region, config, seed), config, folder, seed)


def same_weights(first: Jepa, second: Jepa) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_loss_falls_and_the_target_does_not_collapse(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=60", "train.lr=3e-3", "loss.vicreg_beta=0.05", "loss.tile_weight=1")
    _, result = trained(region, tmp_path, config)
    lines = read_metrics(tmp_path / METRICS)
    assert result.stopped_by == "max_steps"
    assert lines[-1]["step"] == 60
    assert lines[-1]["loss"] < 0.8 * lines[1]["loss"]
    assert lines[-1]["rankme_tokens"] > 5
    assert lines[-1]["similarity_tokens"] < 0.95


@pytest.mark.parametrize("killed_at", [5, 8, 12])
def test_a_killed_run_goes_on_and_ends_with_the_same_weights_and_log(
    region: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    config = config_of("train.max_steps=14", "train.accumulation=2")
    undisturbed, result = trained(region, tmp_path / "undisturbed", config)
    assert result.resumed_from is None

    class Killed(BaseException):
        pass

    step = loop._Run._step

    def step_until(run: loop._Run, batches: object) -> None:
        if run.place.step == killed_at:
            raise Killed
        step(run, batches)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop._Run, "_step", step_until)
        trained(region, tmp_path / "killed", config)
    resumed, result = trained(region, tmp_path / "killed", config)
    assert result.resumed_from == killed_at // 5 * 5
    assert same_weights(undisturbed, resumed)
    logs = [(tmp_path / name / METRICS).read_bytes() for name in ("undisturbed", "killed")]
    assert logs[0] == logs[1]


def test_the_predicted_tile_vector_is_trained_and_logged(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=60", "train.lr=3e-3", "model.predict_tile=true", "masking.kind=0.5")
    trained(region, tmp_path, config)
    lines = read_metrics(tmp_path / METRICS)
    assert lines[-1]["prediction_tile"] < 0.8 * lines[1]["prediction_tile"]
    without = config_of("train.max_steps=4", "model.predict_tile=false")
    trained(region, tmp_path / "without", without)
    assert "prediction_tile" not in read_metrics(tmp_path / "without" / METRICS)[-1]


def test_another_seed_trains_another_model(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=2")
    models = [trained(region, tmp_path / str(i), config, seed)[0] for i, seed in enumerate((0, 0, 1))]
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_a_frozen_tag_projection_stays_while_the_rest_learns(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=3", "model.freeze_tags=true", "train.weight_decay=0.5")
    first = build_jepa(config.model, 0).target_encoder
    model, _ = trained(region, tmp_path, config)
    kept, moved = model.target_encoder.tokens.tokenizer, model.target_encoder.encoder.transformer.blocks[0]
    assert torch.equal(kept.tags.weight, first.tokens.tokenizer.tags.weight)
    assert torch.equal(kept.tags_norm.bias, first.tokens.tokenizer.tags_norm.bias)
    before = first.encoder.transformer.blocks[0].state_dict()
    assert not torch.equal(moved.state_dict()["mlp.fc1.weight"], before["mlp.fc1.weight"])


def test_no_steps_leave_the_first_weights(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=0")
    model, result = trained(region, tmp_path, config)
    assert result.place.step == 0
    assert same_weights(model, build_jepa(config.model, 0))
    assert [line["step"] for line in read_metrics(tmp_path / METRICS)] == [0]


def test_it_stops_by_epochs_after_that_many_passes(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=null", "train.epochs=2")
    data = opened(region, config)
    _, result = trained(region, tmp_path, config)
    assert (result.stopped_by, result.place.epoch, result.place.batch) == ("epochs", 2, 0)
    assert result.place.tiles == 2 * len(data.view.tiles)
    assert result.place.tokens == 2 * int(data.store.lengths(data.view).sum())


def test_it_stops_by_time_and_says_so(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=100000", "train.max_minutes=0.005")
    _, result = trained(region, tmp_path, config)
    assert result.stopped_by == "max_minutes"
    assert 0 < result.place.step < 100_000
    assert result.place.elapsed_s >= 0.3


def test_a_loss_that_is_no_number_is_an_error_with_a_way_out(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=5")
    model = build_jepa(config.model, 0)
    with torch.no_grad():
        next(model.predictor.parameters()).fill_(math.nan)
    with pytest.raises(GeojepaError, match="step 0") as caught:
        pretrain_jepa(model, opened(region, config), config, tmp_path, 0)
    assert "train.lr" in str(caught.value.hint)


def test_tiles_of_the_tasks_test_groups_are_left_out(region: Path) -> None:
    from geojepa_cli.tasks.splits import split_groups

    everything = opened(region, config_of("data.exclude_test_groups=false"))
    kept = opened(region, config_of())
    split = split_groups(everything.store.groups[everything.view.tiles], 0)
    assert kept.view.tiles.tolist() == everything.view.tiles[split != 2].tolist()
    assert len(kept.view.tiles) < len(everything.view.tiles)
    assert kept.view.counts["tiles of test groups"] == int((split == 2).sum())


def test_features_of_another_width_are_refused_with_the_setting_to_change(region: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(region, config_of("model.tag_dim=384"))
    assert caught.value.hint == "--set model.tag_dim=16"


def test_limits_that_leave_no_tile_are_an_error(region: Path) -> None:
    with pytest.raises(DataError, match="no tile is left"):
        opened(region, config_of("data.min_entities=1000"))


def test_images_are_trained_on_where_there_are_any(region: Path, tmp_path: Path) -> None:
    config = config_of("model.modalities=[tags, image]", "model.patch_px=112", "train.max_steps=3")
    zxy = opened(region, config_of()).store.tile_zxy[::2]
    images = write_synthetic_images(tmp_path / "images.h5", [tuple(map(int, tile)) for tile in zxy])
    data = TrainingData.open(config, [region / "processed.h5"], [region / "tags.h5"], [images], 0)
    model = build_jepa(config.model, 0)
    before = model.context_encoder.tokens.tokenizer.image.proj.weight.clone()  # type: ignore[union-attr]
    pretrain_jepa(model, data, config, tmp_path, 0)
    after = model.context_encoder.tokens.tokenizer.image.proj.weight  # type: ignore[union-attr]
    assert not torch.equal(before, after)
    assert read_metrics(tmp_path / METRICS)[-1]["step"] == 3


def test_tiles_held_on_the_device_train_the_same_model_as_tiles_read_from_files(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=4")
    weights = []
    for free_bytes, held in ((0, False), (1000, False), (1 << 30, True)):
        data = opened(region, config).to(torch.device("cpu"), free_bytes)
        assert (data.resident is not None) == held
        model = build_jepa(config.model, 0)
        folder = tmp_path / str(free_bytes)
        folder.mkdir()
        pretrain_jepa(model, data, config, folder, 0)
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_a_saved_model_is_loaded_with_the_same_vectors_and_without_pickle(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=3")
    model, _ = trained(region, tmp_path, config)
    save_model(tmp_path, model, config)
    encoder, loaded = load_encoder(tmp_path)
    assert loaded == config
    data = opened(region, config)
    batch = data.fixed_batch(10, 0)
    found, expected = encoder(batch, data.tag_table), model.eval().target_encoder(batch, data.tag_table)
    assert torch.equal(found.tiles, expected.tiles)
    assert torch.equal(found.entities, expected.entities)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_weights_that_are_damaged_or_of_another_model_are_refused(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=0")
    model, _ = trained(region, tmp_path, config)
    save_model(tmp_path, model, config)
    weights = tmp_path / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        load_encoder(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.yaml").write_text((tmp_path / "config.yaml").read_text().replace("depth: 2", "depth: 3"))
    with pytest.raises(DataError, match="does not fit"):
        load_encoder(tmp_path)
    weights.unlink()
    with pytest.raises(DataError):
        load_encoder(tmp_path)


def test_a_checkpoint_keeps_weights_optimiser_and_place(tmp_path: Path) -> None:
    config = config_of()
    model = build_jepa(config.model, 0)
    optimizer = build_optimizer(model, config.train)
    output = model(random_batch([20, 30]), tag_table(), loop.mask_rates(config.masking), generator(0, 0, 0))
    output.predicted.square().mean().backward()
    optimizer.step()
    place = loop.Place(step=3, epoch=1, batch=2, tokens=50, totals={"loss": 0.1 + 0.2}, total_count=2)
    save_checkpoint(tmp_path / CHECKPOINT, model, optimizer, place)
    other = build_jepa(config.model, 1)
    other_optimizer = build_optimizer(other, config.train)
    assert load_checkpoint(tmp_path / CHECKPOINT, other, other_optimizer) == place
    assert same_weights(model, other)
    assert len(optimizer.state) == len(other_optimizer.state) > 10
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        mine, theirs = optimizer.state.get(one, {}), other_optimizer.state.get(two, {})
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    config, wider = config_of(), config_of("model.depth=3")
    model, other = build_jepa(config.model, 0), build_jepa(wider.model, 0)
    save_checkpoint(tmp_path / CHECKPOINT, model, build_optimizer(model, config.train), loop.Place())
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / CHECKPOINT, other, build_optimizer(other, wider.train))
    assert "--no-resume" in str(caught.value.hint)


def test_norms_biases_and_single_tokens_have_no_weight_decay() -> None:
    model = build_jepa(config_of("model.num_register_tokens=2").model, 0)
    decayed, free = (group["params"] for group in build_optimizer(model, config_of().train).param_groups)
    assert {p.ndim for p in decayed} == {2}
    registers = model.context_encoder.encoder.registers
    assert any(p is registers for p in free)
    assert len(decayed) + len(free) == sum(p.requires_grad for p in model.parameters())


def test_generators_are_a_function_of_seed_and_place() -> None:
    draws = [
        torch.rand(3, generator=generator(*place)).tolist() for place in [(0, 1, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
    ]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3


def test_collapsed_vectors_are_noticed() -> None:
    encoder = build_encoder(config_of().model).eval()
    batch, table = random_batch([20] * 8), tag_table()
    healthy = collapse_figures(encoder, batch, table)
    with torch.no_grad():  # every token the same
        encoder.encoder.transformer.norm.weight.zero_()
        encoder.encoder.transformer.norm.bias.fill_(1.0)
    collapsed = collapse_figures(encoder, batch, table)
    assert collapsed["rankme_tokens"] == collapsed["rankme_tiles"] == 1.0
    assert collapsed["std_tokens"] == 0.0
    assert collapsed["similarity_tokens"] == pytest.approx(1.0)
    assert healthy["rankme_tokens"] > 5 and healthy["std_tokens"] > 0.1


def test_the_learning_rate_warms_up_stays_and_cools_down() -> None:
    train = config_of("train.lr=1.0", "train.lr_end=0.0", "train.warmup=0.1", "train.cooldown=0.2").train
    rates = [learning_rate(train, progress) for progress in (0.0, 0.05, 0.1, 0.5, 0.8, 0.9, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0])


def test_the_thesis_schedules_are_there() -> None:
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
