"""Training of models with geometry: the same run when resumed, the memory estimate, and vectors that do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from synthetic_store import write_synthetic_geometry
from training import config_of, same_weights, train_in, write_region

from geojepa_cli.config.names import METRICS
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import FeatureMismatchError
from geojepa_cli.models.jepa.gradients import watch_fusion
from geojepa_cli.models.jepa.memory import activation_bytes
from geojepa_cli.nn.tokens.fusion import EntityFusion
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.memory import estimate_memory

GT = ("model.modalities=[tags, geometry]", "model.geometry_dim=6", "model.tag_weighting=learned")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")
    write_synthetic_geometry(folder / "geometry.h5", RegionStore(folder / "processed.h5").n_pieces)
    return folder


def open_gt(region: Path, config: PretrainConfig) -> TrainingData:
    files = [region / "processed.h5"], [region / "tags.h5"], [None]
    return TrainingData.open(config, *files, 0, [region / "geometry.h5"])


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_run_resumed_from_its_checkpoint_is_equal_to_the_bit(region: Path, tmp_path: Path) -> None:
    config = config_of(*GT, "train.max_steps=10", "train.checkpoint_every=4")
    data = open_gt(region, config)
    straight = train_in(tmp_path / "straight", region, config, data=data)
    resumed = train_in(tmp_path / "straight", region, config, data=data)  # from step 8
    assert resumed.result.resumed_from == 8
    assert same_weights(resumed.module, straight.module)


def test_the_gradient_shares_of_fused_tags_and_geometry_are_those_of_the_input_of_the_mlp() -> None:
    fusion = EntityFusion(6, 4)
    shares = watch_fusion(fusion, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    tags, geometry = (torch.randn(5, size, generator=rng, requires_grad=True) for size in (4, 6))
    tagged = torch.ones(5, dtype=torch.bool)
    fused = fusion(tags, tagged, geometry)
    fused.square().sum().backward()
    shape = fusion.geometry_norm(fusion.geometry(geometry)).detach().requires_grad_()
    alone = tags.detach().requires_grad_()
    fusion.mlp(torch.cat([alone, shape], dim=1)).square().sum().backward()
    assert alone.grad is not None and shape.grad is not None
    expected = float(shape.grad.norm() / (shape.grad.norm() + alone.grad.norm()))
    assert float(shares["grad_share_fused_geometry"]) == pytest.approx(expected, rel=1e-5)
    assert float(sum(shares.values())) == pytest.approx(1.0)


def test_the_shares_of_tags_and_geometry_are_logged(region: Path, tmp_path: Path) -> None:
    config = config_of(*GT, "train.max_steps=4")
    train_in(tmp_path / "gt", region, config, data=open_gt(region, config))
    line = read_metrics(tmp_path / "gt" / METRICS)[-1]
    assert 0.02 < line["grad_share_fused_geometry"] < 0.98
    assert line["grad_share_fused_geometry"] + line["grad_share_fused_tags"] == pytest.approx(1.0, rel=1e-4)


def test_tiles_on_the_device_train_the_same_model(region: Path, tmp_path: Path) -> None:
    config = config_of(*GT, "train.max_steps=4")
    data = open_gt(region, config)
    resident = data.to(torch.device("cpu"), free_bytes=10**9)
    assert resident.resident is not None and data.resident is None
    assert resident.inputs.geometry == data.store.geometry_kind is not None
    first = train_in(tmp_path / "files", region, config, data=data)
    second = train_in(tmp_path / "resident", region, config, data=resident)
    assert same_weights(first.module, second.module)


def test_the_memory_of_geometry_and_learned_weights_is_estimated(region: Path) -> None:
    tokens = 4000
    plain, gt = config_of(), config_of(*GT)
    wide = config_of(*GT[:1], "model.geometry_dim=1000")
    assert activation_bytes(plain, tokens) < activation_bytes(gt, tokens) < activation_bytes(wide, tokens)
    added = activation_bytes(wide, tokens) - activation_bytes(config_of(*GT[:1], "model.geometry_dim=1"), tokens)
    assert added == pytest.approx(1.5 * 4 * tokens * 999)
    module = train_in(region / "run", region, config_of(*GT, "train.max_steps=0"), data=open_gt(region, gt)).module
    estimate = estimate_memory(gt, open_gt(region, gt))
    assert estimate.weights == sum(tensor.nbytes for tensor in module.state_dict().values())


def test_vectors_of_another_width_are_refused_with_the_width_to_set(region: Path) -> None:
    config = config_of(*GT, "model.geometry_dim=7")
    with pytest.raises(FeatureMismatchError, match=r"\(7 values\).*\(6 values\)") as caught:
        open_gt(region, config)
    assert ("--set", "model.geometry_dim=6") in caught.value.hint.options
    with pytest.raises(ValueError, match=r"geometry\.h5"):
        TrainingData.open(config, [region / "processed.h5"], [region / "tags.h5"], [None], 0)
