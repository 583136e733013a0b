"""Reads and writes the files of a published model: weights and configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from geojepa_cli.config.baselines import LmaeConfig, TagAEConfig
from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import dump_config, load_config, load_run_config
from geojepa_cli.config.names import CONFIG, WEIGHTS
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError
from geojepa_cli.store.tensors import read_tensors, save_tensors

FORMAT = {"format": "geojepa-model-1"}  # only one entry, because safetensors writes entries in arbitrary order
ConfigT = TypeVar("ConfigT", GairConfig, GeometryConfig, TagAEConfig, LmaeConfig)
ModuleT = TypeVar("ModuleT", bound=nn.Module)


def save_model(folder: Path, module: nn.Module, config: RunConfig) -> None:
    """Writes a model to a folder: all weights to `weights.safetensors`, and the configuration to `config.yaml`."""
    save_tensors(folder / WEIGHTS, module.state_dict(), FORMAT)
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")


def read_model(folder: Path, weights: str = WEIGHTS) -> tuple[dict[str, Tensor], PretrainConfig]:
    """Reads the weights (tensors by name) and the configuration of a published GeoJEPA model from its folder.

    Args:
        folder: folder of the model.
        weights: name of the weights file, such as `weights.safetensors`.

    Raises:
        DataError: the weights are missing or unreadable, or have another format.
        UsageError: the configuration cannot be read, or is of another family.
    """
    config = load_config(str(folder / CONFIG))
    return _read_weights(folder / weights), config


def read_run(folder: Path, weights: str = WEIGHTS) -> tuple[dict[str, Tensor], RunConfig]:
    """Reads the weights and the configuration of a published model of any family from its folder.

    Args:
        folder: folder of the model.
        weights: name of the weights file, such as `weights.safetensors`.

    Raises:
        DataError: the weights are missing or unreadable, or have another format.
        UsageError: the configuration cannot be read.
    """
    config = load_run_config(str(folder / CONFIG))
    return _read_weights(folder / weights), config


def load_module(
    folder: Path, weights: str, schema: type[ConfigT], build: Callable[[ConfigT, dict[str, Tensor]], ModuleT]
) -> ModuleT:
    """Loads a published model of one family. Its weights do not require gradients.

    Args:
        folder: folder of the model.
        weights: name of the weights file, such as `weights.safetensors`.
        schema: class of the family's configurations.
        build: function that takes the configuration and a dict from name to weights, and returns the model.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the configuration, or the model is of another
            family.
        UsageError: the configuration cannot be read.
    """
    tensors, config = read_run(folder, weights)
    if not isinstance(config, schema):
        expected = schema.model_fields["family"].default
        message = f"`{folder / CONFIG}` describes a model of family `{config.family}`, expected `{expected}`"
        raise DataError(message)
    with matching_weights(folder / weights):
        return build(config, tensors).requires_grad_(False).eval()


@contextmanager
def matching_weights(path: Path) -> Iterator[None]:
    """Context manager for code that loads weights. Raises a DataError if they do not match the configuration.

    Args:
        path: path of the weights file, for the error message.
    """
    try:
        yield
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"`{path}` does not match the model in `{CONFIG}`: {error}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    tensors, metadata = read_tensors(path)
    if metadata != FORMAT:
        raise DataError(f"the metadata of `{path}` is {metadata or 'empty'}, expected {FORMAT}")
    return tensors
