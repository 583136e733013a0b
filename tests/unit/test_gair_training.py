"""GAIR in the common training loop: it finds what stands at a place, resumes, and is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted_store import (
    Painted,
    gair_config,
    open_painted,
    read,
    rows_of,
    start_gair,
    write_painted,
)

from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.names import METRICS
from geojepa_cli.errors import DataError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.gair import queries as queries_module
from geojepa_cli.models.gair.pretraining import GairPretraining, build
from geojepa_cli.models.gair.queries import place_points
from geojepa_cli.models.gair.vectors import embed_batch, entity_vectors, ground_vectors, tile_tokens
from geojepa_cli.models.published import save_model
from geojepa_cli.models.registry import open_published
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train import loop
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return write_painted(tmp_path_factory.mktemp("painted"))


def recall(model: GairPretraining, painted: Painted, tiles: np.ndarray) -> float:
    """Share of entities whose localised vector is most similar to the ground vector of their own kind."""
    batch = read(painted, tiles)
    with torch.no_grad():
        local = entity_vectors(model.module, batch, tile_tokens(model.module, batch)).local
        ground = ground_vectors(model.module, batch, model._inputs.tag_table)
    kind = torch.from_numpy(painted.kind[rows_of(batch)])
    kinds = unit(torch.stack([ground[kind == number].mean(0) for number in range(4)]))
    return float(((local @ kinds.t()).argmax(1) == kind).float().mean())


def trained(painted: Painted, folder: Path, *overrides: str) -> tuple[GairPretraining, TrainingData]:
    model, data, config = start_gair(painted.folder, "train.max_steps=60", "train.log_every=20", *overrides)
    folder.mkdir(exist_ok=True)
    train(model, data, config.train, folder, 0)
    return model, data


def unseen(data: TrainingData) -> np.ndarray:
    return np.setdiff1d(np.arange(64), data.view.tiles)


@pytest.fixture(scope="module")
def run(painted: Painted, tmp_path_factory: pytest.TempPathFactory) -> tuple[GairPretraining, TrainingData]:
    return trained(painted, tmp_path_factory.mktemp("run"))


def test_training_finds_what_stands_at_a_place_in_unseen_tiles(
    run: tuple[GairPretraining, TrainingData], painted: Painted, tmp_path: Path
) -> None:
    model, data = run
    assert len(unseen(data)) >= 8
    assert recall(model, painted, unseen(data)) > 0.9
    assert recall(start_gair(painted.folder)[0], painted, unseen(data)) < 0.5


def swap_axes(batch: TileBatch, entity: Any, xy: Any, noise_m: Any = None) -> Any:
    lonlat, uv = place_points(batch, entity, xy, noise_m)
    return lonlat, uv.flip(1)


def shift(batch: TileBatch, entity: Any, xy: Any, noise_m: Any = None) -> Any:
    lonlat, uv = place_points(batch, entity, xy, noise_m)
    return lonlat, (uv + 100.0 / 480.0) % 1.0


def shuffle(batch: TileBatch, entity: Any, xy: Any, noise_m: Any = None) -> Any:
    lonlat, uv = place_points(batch, entity, xy, noise_m)
    return lonlat.roll(1, 0), uv.roll(1, 0)


@pytest.mark.parametrize("fault", [swap_axes, shift, shuffle])
def test_a_fault_in_the_coordinates_or_pairs_destroys_the_result(
    fault: Any, painted: Painted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries_module, "place_points", fault)
    model, data = trained(painted, tmp_path / "run")
    assert recall(model, painted, unseen(data)) < 0.7


def test_a_model_that_reads_the_centre_finds_nothing(painted: Painted, tmp_path: Path) -> None:
    model, data = trained(painted, tmp_path / "run", "model.decoder=centre")
    assert recall(model, painted, unseen(data)) < 0.7


def finish(painted: Painted, folder: Path, seed: int = 0) -> GairPretraining:
    model, data, config = start_gair(painted.folder, "train.max_steps=7", "train.accumulation=2", seed=seed)
    folder.mkdir(exist_ok=True)
    train(model, data, config.train, folder, seed)
    return model


def test_a_killed_run_resumes_to_the_same_weights_and_queue(
    painted: Painted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finish(painted, tmp_path / "whole")
    original = loop._Run._step

    def step(run: Any, steps: Any) -> None:
        if run.progress.step == 5:
            raise KeyboardInterrupt
        original(run, steps)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Run, "_step", step)
        finish(painted, tmp_path / "killed")
    resumed = finish(painted, tmp_path / "killed").module.state_dict()
    for key, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, resumed[key]), key
    assert int(resumed["queue.pushed"]) > 100  # of 100 slots
    other = finish(painted, tmp_path / "other", seed=1).module.state_dict()
    assert not torch.equal(other["overhead.position"], resumed["overhead.position"])


def test_published_weights_give_the_same_vectors(
    run: tuple[GairPretraining, TrainingData], painted: Painted, tmp_path: Path
) -> None:
    model, data = run
    config = gair_config()
    save_model(tmp_path, model.module, config)
    batch = read(painted, unseen(data)[:4])
    embedder = open_published(tmp_path, "gair", FrozenInputs(data.inputs.tag_table))
    with torch.no_grad():
        found, expected = embedder.encode(batch), embed_batch(model.module, batch)
    for name in ("entities", "tiles", "places"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert Modality.TAGS not in embedder.needs
    save_model(tmp_path, model.module, gair_config("model.embed_dim=16"))
    with pytest.raises(DataError, match=r"does not match the model in `config\.yaml`"):
        open_published(tmp_path, "gair", FrozenInputs(data.inputs.tag_table))


def test_the_monitor_sees_the_use_of_images_and_tags(
    run: tuple[GairPretraining, TrainingData], painted: Painted
) -> None:
    model, data = run
    with torch.no_grad():
        look = data.monitor(0)(model)
    assert look.figures["sensitivity_tags"] > 0.1 < look.figures["sensitivity_image"]
    assert {"rankme_tiles", "rankme_tokens", "rankme_image"} <= look.figures.keys()
    assert not look.findings


def test_the_memory_of_a_run_is_estimated_before_it_starts(painted: Painted) -> None:
    from geojepa_cli.train.memory import estimate_memory

    config = gair_config("loss.queue=100")
    data = open_painted(painted.folder, config)
    small = estimate_memory(config, data)
    queue = estimate_memory(gair_config("loss.queue=100000"), data)
    model = start_gair(painted.folder)[0].module
    trained_bytes = sum(p.nbytes for p in model.parameters())
    assert small.optimizer == 3 * trained_bytes <= 3 * small.weights
    assert queue.activations > small.activations + 4 * 96 * 100_000


@pytest.mark.parametrize("setting", ["train.precision=bfloat16", "train.recompute=true", "train.accumulation=2"])
def test_a_run_with_other_settings_of_the_loop_ends_near_the_same_loss(
    setting: str, painted: Painted, tmp_path: Path
) -> None:
    last = []
    for name, changes in (("plain", ()), ("changed", (setting,))):
        model, data, config = start_gair(painted.folder, "train.max_steps=4", "train.log_every=4", *changes)
        (tmp_path / name).mkdir()
        train(model, data, config.train, tmp_path / name, 0)
        last.append(read_metrics(tmp_path / name / METRICS)[-1]["loss"])
    assert last[1] == pytest.approx(last[0], rel=1e-6 if "recompute" in setting else 0.1)


def test_the_preset_of_the_publication_has_its_sizes_and_losses() -> None:
    config: Any = load_run_config("paper-gair")
    model, loss, run = config.model, config.loss, config.train
    assert (model.embed_dim, model.depth, model.num_heads, model.mlp_ratio) == (768, 12, 16, 4)
    assert (model.decoder, model.pooling, model.location_sigmas) == ("linear", "mean", (1, 16, 256))
    assert (model.location_features, model.location_dim, model.location_layers) == (256, 1024, 3)
    assert (loss.temperature, loss.queue, loss.anchor_weight) == (0.07, 4096, 0.2)
    assert (loss.image_weight, loss.location_weight) == (0.5, 0.5)
    assert (loss.false_negative_m, loss.equal_tags) == (0, False)
    assert (run.lr, run.beta1, run.beta2, run.weight_decay) == (1.44e-4, 0.9, 0.95, 0.05)
    assert (run.schedule, run.epochs, run.accumulation) == ("cosine", 300, 96)
    assert run.warmup * run.epochs == pytest.approx(10, abs=0.1)
    images = run.batch_tokens / (model.tokens_per_image + 60)  # with some dozen entities per tile
    assert images == pytest.approx(256, rel=0.05)


def test_the_preset_of_the_publication_trains(painted: Painted, tmp_path: Path) -> None:
    config = gair_config("train.accumulation=1", "train.precision=float32", preset="paper-gair")
    data = open_painted(painted.folder, config)
    train(build(config, data.inputs, 0), data, config.train, tmp_path, 0)
    lines = read_metrics(tmp_path / METRICS)
    assert lines[-1]["step"] == 6 and 0 < lines[-1]["anchor"] < 2
