"""Small models in the place of those that come with the package, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import load_config, load_run_config
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.export.shipped_card import ShippingFacts
from geojepa_cli.export.shipped_model import ship_model
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.build import build_jepa
from geojepa_cli.models.polygon_gnn.pretraining import build
from geojepa_cli.models.published import save_model
from geojepa_cli.stages import shipped
from geojepa_cli.stages.shipped import DEFAULT_SHIPPED, SHIPPED_GEOMETRY, ShippedModel, open_shipped

CREDIT = "© contributors of the training data"
SYNTHETIC = ["model.tag_dim=16", "model.embed_dim=32", "model.depth=2", "model.predictor_depth=1"]


def facts_of(*regions: str, text_encoder: str = "test") -> ShippingFacts:
    """Facts about a model that was trained on the given regions."""
    return ShippingFacts(DEFAULT_SHIPPED, regions, "geojepa pretrain --config tiny.yaml", [CREDIT], text_encoder, {})


def write_model(folder: Path, config: PretrainConfig, seed: int = 0) -> Path:
    """Writes an untrained model as `pretrain` does."""
    folder.mkdir(parents=True)
    save_model(folder, build_jepa(config.model, seed), config)
    return folder


def write_geometry_model(folder: Path, seed: int = 0) -> Path:
    """Writes an untrained geometry encoder, 16 wide, and a training log with made-up accuracies."""
    folder.mkdir(parents=True)
    config = load_run_config("geometry", ["model.dim=16", "model.depth=1"])
    assert isinstance(config, GeometryConfig)
    save_model(folder, build(config, FrozenInputs(torch.empty(0, 0)), seed).module, config)
    line = {"step": 2, "accuracy_unseen_fonts": 0.25, "accuracy_unseen_instances": 0.5}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def install_geometry(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> ShippedModel:
    """Replaces the models of the package by one untrained geometry encoder."""
    source = write_geometry_model(folder / f"source-{seed}", seed)
    facts = ShippingFacts(SHIPPED_GEOMETRY, [], "geojepa pretrain --config geometry.yaml", [], "", {})
    ship_model(source, folder / "shipped" / SHIPPED_GEOMETRY, facts)
    monkeypatch.setattr(shipped, "FOLDER", folder / "shipped")
    return open_shipped(SHIPPED_GEOMETRY)


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *regions: str,
    settings: list[str] | None = None,
    text_encoder: str = "test",
    seed: int = 0,
) -> ShippedModel:
    """Replaces the models of the package by one untrained model, which can read random regions by default."""
    config = load_config("tiny.yaml", SYNTHETIC if settings is None else settings)
    source = write_model(folder / f"source-{seed}", config, seed)
    ship_model(source, folder / "shipped" / DEFAULT_SHIPPED, facts_of(*regions, text_encoder=text_encoder))
    monkeypatch.setattr(shipped, "FOLDER", folder / "shipped")
    return open_shipped(DEFAULT_SHIPPED)
