"""Small training runs on a random region, for tests of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from synthetic_store import TAGS, write_synthetic_features, write_synthetic_processed

from geojepa_cli.config.load import load_config
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train import loop
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import Result, train

SMALL = [
    "model.tag_dim=16",
    "model.embed_dim=32",
    "model.depth=2",
    "model.num_heads=2",
    "model.predictor_dim=16",
    "model.predictor_depth=1",
    "model.predictor_heads=2",
    "model.pooling=max_mean",  # without summary and sketch, which have own tests
    "model.place_weight=1",
    "model.summary_dim=0",
    "model.sketch_dim=0",
    "train.batch_tokens=400",
    "train.log_every=4",
    "train.checkpoint_every=5",
]
VOCAB = sum(map(len, TAGS.values()))


class Trained(NamedTuple):
    """A finished run."""

    module: Jepa
    result: Result
    data: TrainingData
    model: JepaPretraining


def config_of(*overrides: str) -> PretrainConfig:
    """The small configuration with changes."""
    return load_config("tiny", [*SMALL, *overrides])


def write_region(folder: Path) -> Path:
    """Writes the files of a random region of 150 tiles."""
    write_synthetic_processed(folder / "processed.h5", seed=1, n_tiles=150)
    write_synthetic_features(folder / "tags.h5", VOCAB, width=16)
    return folder


def open_data(
    region: Path, config: PretrainConfig, seed: int = 0, images: Path | None = None, tokens: Path | None = None
) -> TrainingData:
    """The training data of a region."""
    files = [region / "processed.h5"], [region / "tags.h5"], [images]
    return TrainingData.open(config, *files, seed, image_tokens=[tokens])


def fixed_batch(data: TrainingData, tiles: int, seed: int) -> TileBatch:
    """A batch of random tiles, the same in every call."""
    rng = np.random.Generator(np.random.PCG64([seed, 0xF1D]))
    rows = rng.choice(data.view.tiles, size=min(tiles, len(data.view.tiles)), replace=False)
    return data.store.read(data.view, np.sort(rows), needs=data.needs)


def train_in(
    folder: Path, region: Path, config: PretrainConfig, seed: int = 0, data: TrainingData | None = None
) -> Trained:
    """Trains from the seed, or from the checkpoint in `folder`."""
    folder.mkdir(exist_ok=True)
    data = data or open_data(region, config, seed)
    model = build(config, data.inputs, seed)
    return Trained(model.module, train(model, data, config.train, folder, seed), data, model)


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch, folder: Path, region: Path, config: PretrainConfig) -> None:
    """Trains in `folder` until a number of steps is complete, then fails as if the process was killed."""

    class Killed(BaseException):
        pass

    original = loop._Run._step

    def step_until(run: loop._Run, batches: object) -> None:
        if run.progress.step == step:
            raise Killed
        original(run, batches)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop._Run, "_step", step_until)
        train_in(folder, region, config)


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Returns True if all parameters are equal to the bit."""
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
