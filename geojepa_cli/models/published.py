"""Files of a published model: weights and configuration. Training writes them, embedding reads them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from geojepa_cli.config.load import dump_config, load_config
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError
from geojepa_cli.store.tensors import read_tensors, save_tensors

WEIGHTS = "weights.safetensors"
CONFIG = "config.yaml"
FORMAT = {"format": "geojepa-model-1"}  # a single entry, because safetensors writes several entries in arbitrary order


def save_model(folder: Path, module: nn.Module, config: PretrainConfig) -> None:
    """Writes `weights.safetensors` (the complete state of `module`) and `config.yaml` to `folder`."""
    save_tensors(folder / WEIGHTS, module.state_dict(), FORMAT)
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")


def read_model(folder: Path) -> tuple[dict[str, Tensor], PretrainConfig]:
    """Returns the weights by name, and the configuration.

    Raises:
        DataError: the weights are missing, unreadable or in another format.
        UsageError: the configuration cannot be read.
    """
    config = load_config(str(folder / CONFIG))
    tensors, metadata = read_tensors(folder / WEIGHTS)
    if metadata != FORMAT:
        raise DataError(f"format of `{folder / WEIGHTS}` is {metadata or 'unknown'}, expected {FORMAT}")
    return tensors, config
