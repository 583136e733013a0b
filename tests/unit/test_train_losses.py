"""Every switch of the loss and of pooling, in training: gradients, independence of samples, logs, exact resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_store import write_synthetic_images
from test_nn_jepa import SMALL, WITH_IMAGES, loud, run
from tile_batches import Batch, random_batch, tag_table
from torch.utils._python_dispatch import TorchDispatchMode
from training import config_of, kill_at, open_data, same_weights, train_in, write_region

from geojepa_cli.config.loss import LossConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.names import METRICS
from geojepa_cli.config.schema import ModelConfig, PretrainConfig, TrainConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.build import build_jepa
from geojepa_cli.models.jepa.losses import jepa_losses
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.train.log import read_metrics

NUMBERS = {"tags": Modality.TAGS.number, "image": Modality.IMAGE.number}
SWITCHES = {
    "default": {},
    "no regulariser": {"regulariser": "none"},
    "sigreg": {"regulariser": "sigreg", "sigreg_slices": 16},
    "info_nce": {"prediction": "info_nce"},
    "random_projection": {"targets": "random_projection"},
    "random_projection, info_nce": {"targets": "random_projection", "prediction": "info_nce"},
    "gram": {"gram_weight": 2.0, "gram_start": 0.0},
    "token": {"average": "token"},
    "all": {
        "regulariser": "sigreg",
        "prediction": "info_nce",
        "targets": "random_projection",
        "gram_weight": 2.0,
        "gram_start": 0.0,
    },
}
POOLINGS = ["max_mean", "counts", "sum", "attention"]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pretraining(model: ModelConfig, loss: LossConfig) -> JepaPretraining:
    config = PretrainConfig(model=model, loss=loss, train=TrainConfig(max_steps=10))
    return build(config, FrozenInputs(tag_table()), 0)


def images() -> Batch:
    return random_batch([20, 9, 14], image_tiles=[0, 2])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("switch", SWITCHES)
def test_gradients_reach_every_trainable_parameter_and_no_frozen_one(switch: str, pooling: str) -> None:
    changed = {"pooling": pooling, "predict_tile": True, "num_register_tokens": 2}
    model = pretraining(WITH_IMAGES.model_copy(update=changed), LossConfig(**SWITCHES[switch]))
    loud(model.module)
    model.finish_step(0.0)  # starts Gram anchoring
    with torch.no_grad():
        for parameter in model.module.context_encoder.parameters():  # away from the Gram teacher
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng(5)))
    frozen = {name: p.clone() for name, p in model.module.named_parameters() if not p.requires_grad}
    model.prepare(images(), rng())().loss.backward()
    trained = {name: p.grad for name, p in model.module.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"context_encoder", "predictor", "tile_predictor"}
    assert [name for name, gradient in trained.items() if gradient is None or not bool(gradient.any())] == []
    assert all(p.grad is None for p in model.module.parameters() if not p.requires_grad)
    prefixes = {name.split(".")[0] for name in frozen}
    assert ("target_tokenizer" in prefixes) == ("targets" in SWITCHES[switch])
    assert ("gram_teacher" in prefixes) == ("gram_weight" in SWITCHES[switch])
    model.finish_step(0.5)
    now = dict(model.module.named_parameters())
    moved = {name.split(".")[0] for name, before in frozen.items() if not torch.equal(now[name], before)}
    assert moved == {"target_encoder"}


class Reads(TorchDispatchMode):
    """Collects operations that read values of tensors. On a GPU, they make the CPU wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        selects = name in ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        repeats = name == "repeat_interleave" and not (kwargs or {}).get("output_size")
        if selects or repeats or name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "bincount"):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("switch", ["default", "sigreg", "random_projection"])
def test_a_prepared_step_reads_no_values_of_tensors(monkeypatch: pytest.MonkeyPatch, switch: str, pooling: str) -> None:
    changed = {"pooling": pooling, "predict_tile": True, "num_register_tokens": 2, "null_weight": 8.0}
    for shared in (False, True):
        config = WITH_IMAGES.model_copy(update={**changed, "shared_context": shared})
        step = pretraining(config, LossConfig(**SWITCHES[switch])).prepare(images(), rng())
        with monkeypatch.context() as patch, Reads() as reads:
            patch.setattr(torch.Tensor, "tolist", None)
            step().loss.backward()
        assert reads.found == set()


@pytest.mark.parametrize("switch", ["default", "info_nce", "random_projection", "random_projection, info_nce", "gram"])
def test_the_loss_of_a_sample_does_not_depend_on_the_rest_of_the_batch(switch: str) -> None:
    config = LossConfig(**{**SWITCHES[switch], "regulariser": "none"})
    model = pretraining(SMALL, config)
    loud(model.module)
    model.finish_step(0.0)
    batch, table = random_batch([12, 30, 7, 21]), tag_table()
    output = run(model.module, batch, table)
    found = jepa_losses(output, config, torch.ones(2), rng(), {"tags": 0})
    terms, weights = [], []
    for tile in range(4):
        rows, seen = output.target_tile == tile, context_rows(output.context_lengths, tile)
        alone = output.__class__(
            **{
                **output.__dict__,
                "predicted": output.predicted[rows],
                "target": output.target[rows],
                "target_modality": output.target_modality[rows],
                "target_tile": torch.zeros(int(rows.sum()), dtype=torch.int64),
                "context": output.context[seen],
                "context_lengths": output.context_lengths[tile : tile + 1],
                "lengths": output.lengths[tile : tile + 1],
                "gram": None if output.gram is None else output.gram[seen],
            }
        )
        terms.append(jepa_losses(alone, config, torch.ones(2), rng(), {"tags": 0}))
        weights.append(int(rows.sum()))
    prediction = sum(n * term["prediction"] for n, term in zip(weights, terms, strict=True)) / sum(weights)
    torch.testing.assert_close(found["prediction"], prediction, atol=1e-5, rtol=1e-4)
    if output.gram is not None:
        torch.testing.assert_close(found["gram"], torch.stack([term["gram"] for term in terms]).mean())


def context_rows(lengths: torch.Tensor, tile: int) -> slice:
    start = int(lengths[:tile].sum())
    return slice(start, start + int(lengths[tile]))


def test_random_projections_depend_on_a_tokens_own_input_and_never_change() -> None:
    model = pretraining(SMALL, LossConfig(targets="random_projection"))
    batch, table = random_batch([30, 20]), tag_table()
    before = run(model.module, batch, table)
    tokenizer = model.module.target_tokenizer
    assert tokenizer is not None
    expected = tokenizer(batch, table, tokenizer.place(batch))
    indices = [row for row in range(50) if any(torch.equal(expected[row], vector) for vector in before.target)]
    assert len(indices) > 10
    optimizer = torch.optim.SGD([p for p in model.module.parameters() if p.requires_grad], lr=0.1)
    for seed in range(3):
        model.prepare(batch, rng(seed))().loss.backward()
        optimizer.step()
        model.finish_step(0.1)
    assert torch.equal(run(model.module, batch, table).target, before.target)
    other = pretraining(SMALL, LossConfig(targets="random_projection"))
    assert torch.equal(run(other.module, batch, table).target, before.target)


def test_the_first_weights_do_not_depend_on_the_switches() -> None:
    plain = build_jepa(SMALL, 0).state_dict()
    switched = build_jepa(SMALL, 0, LossConfig(**SWITCHES["all"])).state_dict()
    assert all(torch.equal(switched[name], tensor) for name, tensor in plain.items())


def test_the_gram_teacher_is_the_target_encoder_at_the_start_of_anchoring() -> None:
    model = pretraining(SMALL, LossConfig(gram_weight=1.0, gram_start=0.5))
    module, batch = loud(model.module), random_batch([30, 20])
    model.finish_step(0.49)
    assert "gram" not in model.prepare(batch, rng())().parts
    model.finish_step(0.5)
    copied = {name: tensor.clone() for name, tensor in module.target_encoder.state_dict().items()}
    with torch.no_grad():
        for parameter in module.context_encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng(5)))
    step = model.prepare(batch, rng())()
    model.finish_step(0.6)
    assert not same_weights(module.gram_teacher.encoder, module.target_encoder)
    taken = module.gram_teacher.encoder.state_dict()
    assert all(torch.equal(taken[name], tensor) for name, tensor in copied.items())
    assert float(step.parts["gram"]) > 0
    module.context_encoder.load_state_dict(copied)
    assert float(model.prepare(batch, rng())().parts["gram"]) < 1e-10


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


@pytest.mark.parametrize("killed_at", [6, 12])  # before and after the teacher is taken
def test_a_run_with_all_switches_resumes_to_the_bit(
    region: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    switches = [f"loss.{key}={value}" for key, value in SWITCHES["all"].items() if key != "gram_start"]
    config = config_of(*switches, "loss.gram_start=0.55", "model.pooling=attention", "train.max_steps=14")
    undisturbed = train_in(tmp_path / "undisturbed", region, config)
    kill_at(killed_at, monkeypatch, tmp_path / "killed", region, config)
    resumed = train_in(tmp_path / "killed", region, config)
    assert resumed.result.resumed_from == killed_at // 5 * 5
    assert same_weights(undisturbed.module, resumed.module)
    logs = [read_metrics(tmp_path / name / METRICS) for name in ("undisturbed", "killed")]
    assert logs[0] == logs[1]
    assert ["gram" in line for line in logs[0]] == [False, False, False, True, True]


def test_shares_of_loss_and_gradient_are_logged_for_each_modality(region: Path, tmp_path: Path) -> None:
    config = config_of("model.modalities=[tags, image]", "model.patch_px=112", "train.max_steps=4")
    zxy = open_data(region, config_of()).store.tile_zxy[::2]
    file = write_synthetic_images(tmp_path / "images.h5", [tuple(map(int, tile)) for tile in zxy])
    train_in(tmp_path / "ti", region, config, data=open_data(region, config, images=file))
    line = read_metrics(tmp_path / "ti" / METRICS)[-1]
    assert line["prediction_tags"] + line["prediction_image"] == pytest.approx(line["prediction"], rel=1e-4)
    for share in ("prediction_share", "grad_share"):
        values = [line[f"{share}_{name}"] for name in NUMBERS]
        assert sum(values) == pytest.approx(1.0, rel=1e-4) and min(values) > 0.02
    train_in(tmp_path / "t", region, config_of("train.max_steps=4"))
    assert not [
        name
        for name in read_metrics(tmp_path / "t" / METRICS)[-1]
        if name.startswith(("prediction_share", "grad_share"))
    ]


@pytest.mark.parametrize("switch", ["sigreg", "info_nce", "random_projection", "random_projection, info_nce"])
def test_the_loss_falls_with_each_switch(region: Path, tmp_path: Path, switch: str) -> None:
    switches = [f"loss.{key}={value}" for key, value in SWITCHES[switch].items()]
    train_in(tmp_path, region, config_of(*switches, "train.max_steps=40", "train.lr=3e-3"))
    lines = read_metrics(tmp_path / METRICS)
    assert lines[-1]["loss"] < 0.9 * lines[1]["loss"]
    assert math.isfinite(lines[-1]["rankme_tokens"])


def test_attention_pooling_needs_the_tile_prediction() -> None:
    with pytest.raises(UsageError, match="predict_tile"):
        config_of("model.pooling=attention", "model.predict_tile=false")
    assert config_of("model.pooling=attention").model.predict_tile


def test_the_prediction_of_hidden_tokens_has_its_weight() -> None:
    model, parts = SMALL.model_copy(update={"predict_tile": True}), {}
    for weight in (0.0, 1.0, 3.0):
        step = pretraining(model, LossConfig(prediction_weight=weight)).prepare(images(), rng())()
        parts[weight] = {name: float(value) for name, value in step.parts.items()}
    for weight in (0.0, 3.0):
        expected = parts[1.0]["loss"] + (weight - 1.0) * parts[1.0]["prediction"]
        assert parts[weight]["loss"] == pytest.approx(expected, rel=1e-5)
    assert parts[0.0]["loss_share_prediction"] == 0.0 < parts[1.0]["loss_share_prediction"]


def test_a_loss_without_any_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no target"):
        PretrainConfig(model=SMALL, loss=LossConfig(prediction_weight=0.0), train=TrainConfig(max_steps=10))
