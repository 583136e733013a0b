"""Registry of all embedders: baselines by name, and families of trained models.

To add a baseline, write one file in `baselines/` and add one line to `BASELINES`, as in the example of
`CONTRIBUTING.md`. `embed`, `probe`, `knn` and `report` then accept its name. A program or notebook can add a baseline
at run time: `BASELINES["mean_box"] = "my_module:MeanBox"`.

Entries are imported on first use, so `geojepa --help` does not import torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from geojepa_cli.config.modality import Needs

if TYPE_CHECKING:
    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.models.base import Embedder, FrozenInputs, Pretrainable

DEFAULT_BASELINE = "tagpool"

# name for the option `--model` -> "module:Class". The attribute `name` of the class is the same.
BASELINES: dict[str, str] = {
    "tagpool": "geojepa_cli.baselines.tagpool:TagPool",
}


class Family(NamedTuple):
    """Kind of model that `geojepa pretrain` trains and publishes in `models/`.

    Attributes:
        build: import path "module:function" of `(config, inputs, seed) -> Pretrainable`.
        load: import path "module:function" of `(folder, inputs) -> Embedder`.
    """

    build: str
    load: str


# key `family` of the configuration -> code of that family
FAMILIES: dict[str, Family] = {
    "jepa": Family("geojepa_cli.models.jepa.pretraining:build", "geojepa_cli.models.jepa.embedder:load"),
}


def baseline_needs(name: str) -> Needs:
    """Returns the modalities that a baseline needs."""
    return cast("Needs", _resolve(BASELINES[name]).needs)


def open_baseline(name: str, inputs: FrozenInputs) -> Embedder:
    """Returns a baseline that is ready to embed.

    Args:
        name: key of `BASELINES`.
        inputs: precomputed features, on the device to embed on.
    """
    return cast("Embedder", _resolve(BASELINES[name])(inputs))


def open_published(folder: Path, family: str, inputs: FrozenInputs) -> Embedder:
    """Returns a published model that is ready to embed.

    Args:
        folder: folder of the `models/` artifact.
        family: key `family` of the model's configuration.
        inputs: precomputed features, on the device to embed on.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the configuration.
    """
    return cast("Embedder", _resolve(FAMILIES[family].load)(folder, inputs))


def build_pretrainable(config: PretrainConfig, inputs: FrozenInputs, seed: int) -> Pretrainable:
    """Returns an untrained model on the device of `inputs`. Its weights depend only on configuration and seed."""
    return cast("Pretrainable", _resolve(FAMILIES[config.family].build)(config, inputs, seed))


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
