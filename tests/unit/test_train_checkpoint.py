"""Checkpoints and published models: complete, without pickle, refused when damaged or of another model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from training import config_of, fixed_batch, open_data, same_weights, train_in, write_region

from geojepa_cli.config.names import CHECKPOINT, METRICS
from geojepa_cli.errors import DataError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.build import build_jepa
from geojepa_cli.models.jepa.embedder import load
from geojepa_cli.models.jepa.pretraining import JepaPretraining
from geojepa_cli.models.published import save_model
from geojepa_cli.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from geojepa_cli.train.optimizer import build_optimizer
from geojepa_cli.train.steps import generator


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


def test_a_checkpoint_keeps_weights_optimiser_and_progress(region: Path, tmp_path: Path) -> None:
    config = config_of()
    data = open_data(region, config)
    module = build_jepa(config.model, 0)
    optimizer = build_optimizer(module, config.train)
    losses = JepaPretraining(module, config, data.inputs).prepare(fixed_batch(data, 8, 0), generator(0, 0, 0))()
    losses.loss.backward()
    optimizer.step()
    progress = Progress(step=3, epoch=1, batch=2, tokens=50, totals={"loss": 0.1 + 0.2}, total_count=2)
    save_checkpoint(tmp_path / CHECKPOINT, module, optimizer, progress)
    other = build_jepa(config.model, 1)
    other_optimizer = build_optimizer(other, config.train)
    assert load_checkpoint(tmp_path / CHECKPOINT, other, other_optimizer) == progress
    assert same_weights(module, other)
    assert len(optimizer.state) == len(other_optimizer.state) > 10
    for one, two in zip(module.parameters(), other.parameters(), strict=True):
        mine, theirs = optimizer.state.get(one, {}), other_optimizer.state.get(two, {})
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    config, wider = config_of(), config_of("model.depth=3")
    module, other = build_jepa(config.model, 0), build_jepa(wider.model, 0)
    save_checkpoint(tmp_path / CHECKPOINT, module, build_optimizer(module, config.train), Progress())
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / CHECKPOINT, other, build_optimizer(other, wider.train))
    assert "--no-resume" in str(caught.value.hint)


@pytest.mark.parametrize(
    "progress", ["", "[]", "{}}", '{"step": -1}', '{"step": "many"}', '{"unknown": 1}', "[" * 100_000]
)
def test_a_checkpoint_with_damaged_progress_is_refused(tmp_path: Path, progress: str) -> None:
    config = config_of()
    module = build_jepa(config.model, 0)
    optimizer = build_optimizer(module, config.train)
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    save_file(tensors, tmp_path / CHECKPOINT, {"place": progress})
    with pytest.raises(DataError, match="is not a checkpoint of this model"):
        load_checkpoint(tmp_path / CHECKPOINT, module, optimizer)


def test_an_optimiser_state_of_another_shape_is_refused(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=6")
    train_in(tmp_path, region, config)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    name = next(name for name in tensors if name.endswith("fc1.weight.exp_avg"))
    save_file({**tensors, name: torch.zeros(3, 3)}, tmp_path / CHECKPOINT, metadata)
    with pytest.raises(DataError, match="does not have the shape"):
        train_in(tmp_path, region, config)


def test_a_log_shorter_than_its_checkpoint_expects_is_refused(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=6")
    train_in(tmp_path, region, config)
    (tmp_path / METRICS).write_text("")
    with pytest.raises(DataError, match="0 bytes, its checkpoint expects") as caught:
        train_in(tmp_path, region, config)
    assert "--no-resume" in str(caught.value.hint)


def test_a_published_model_is_loaded_with_the_same_vectors(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=3")
    trained = train_in(tmp_path, region, config)
    save_model(tmp_path, trained.module, config)
    embedder = load(tmp_path, trained.data.inputs)
    assert embedder.needs == config.needs
    batch = fixed_batch(trained.data, 10, 0)
    trained.module.eval()
    found, expected = embedder.encode(batch), trained.model.embed(batch)
    assert torch.equal(found.tiles, expected.tiles)
    assert torch.equal(found.entities, expected.entities)
    assert not any(parameter.requires_grad for parameter in embedder.encoder.parameters())


def test_weights_that_are_damaged_or_of_another_model_are_refused(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=0")
    trained = train_in(tmp_path, region, config)
    save_model(tmp_path, trained.module, config)
    inputs = FrozenInputs(trained.data.inputs.tag_table)
    weights = tmp_path / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        load(tmp_path, inputs)
    weights.write_bytes(whole)
    (tmp_path / "config.yaml").write_text((tmp_path / "config.yaml").read_text().replace("depth: 2", "depth: 3"))
    with pytest.raises(DataError, match="does not match the model"):
        load(tmp_path, inputs)
    save_file({"a": torch.zeros(1)}, weights, {"format": json.dumps("other")})
    with pytest.raises(DataError, match="expected"):
        load(tmp_path, inputs)
    weights.unlink()
    with pytest.raises(DataError):
        load(tmp_path, inputs)
