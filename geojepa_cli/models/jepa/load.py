"""Weights of a published model: written by training, read for embedding."""

from __future__ import annotations

from pathlib import Path

import torch

from geojepa_cli.config.schema import PretrainConfig, dump_config, load_config
from geojepa_cli.errors import DataError
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.encoder import TileEncoder
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.store.tensors import read_tensors, save_tensors

WEIGHTS = "weights.safetensors"
CONFIG = "config.yaml"
FORMAT = {"format": "geojepa-model-1"}  # one entry: safetensors writes several in any order


def save_model(folder: Path, model: Jepa, config: PretrainConfig) -> None:
    """Writes `weights.safetensors` (both encoders and the predictor) and `config.yaml`."""
    save_tensors(folder / WEIGHTS, model.state_dict(), FORMAT)
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")


def load_encoder(model_dir: Path, device: str | torch.device = "cpu") -> tuple[TileEncoder, PretrainConfig]:
    """The target encoder of a published model, ready to embed with: `encoder(batch, tag_table) -> Embeddings`.

    Args:
        model_dir: folder of a `models/` artifact.
        device: where to put it.

    Raises:
        DataError: weights are missing, unreadable, or do not fit the config.
    """
    config = load_config(str(model_dir / CONFIG))
    tensors, metadata = read_tensors(model_dir / WEIGHTS)
    if metadata != FORMAT:
        raise DataError(
            f"`{model_dir / WEIGHTS}` is {metadata or 'of no known format'}, expected {FORMAT}", hint="geojepa pretrain"
        )
    encoder = build_encoder(config.model)
    prefix = "target_encoder."
    target = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        encoder.load_state_dict(target)
    except RuntimeError as error:
        raise DataError(f"`{model_dir / WEIGHTS}` does not fit `{CONFIG}`: {error}", hint="geojepa pretrain") from error
    return encoder.requires_grad_(False).eval().to(device), config
