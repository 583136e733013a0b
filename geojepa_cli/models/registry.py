'''Registry of all embedders: baselines by name, and families of published models.

**To add a baseline**, write one file in `baselines/` and add one line to `BASELINES`:

    """Mean box: an entity is its box, a tile max ‖ mean over its entities."""

    from geojepa_cli.config.modality import TAGS_ONLY
    from geojepa_cli.models.base import Embeddings, FrozenInputs
    from geojepa_cli.nn.pooling import max_mean
    from geojepa_cli.store.batch import TileBatch


    class MeanBox:
        """Shows where entities lie, and nothing else."""

        name = "mean_box"
        needs = TAGS_ONLY

        def __init__(self, inputs: FrozenInputs) -> None:
            pass

        def encode(self, batch: TileBatch) -> Embeddings:
            """Entities [T, 8], tiles [B, 16]."""
            return Embeddings(entities=batch.box, tiles=max_mean(batch.box, batch.cu_seqlens))

and the line

    "mean_box": "geojepa_cli.baselines.mean_box:MeanBox",

`embed`, `probe`, `knn` and `report` then know it: `geojepa probe --task max_speed --model mean_box`. A program or
notebook that uses the package can add one at run time: `BASELINES["mean_box"] = "my_module:MeanBox"`.

Entries are imported when they are used, so `geojepa --help` loads no torch.
'''

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from geojepa_cli.config.modality import Needs

if TYPE_CHECKING:
    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.models.base import Embedder, FrozenInputs, Pretrainable

DEFAULT_BASELINE = "tagpool"

# name for `--model` -> "module:Class"; the class has the same `name`
BASELINES: dict[str, str] = {
    "tagpool": "geojepa_cli.baselines.tagpool:TagPool",
}


class Family(NamedTuple):
    """Models that are trained by `geojepa pretrain` and published in `models/`.

    Attributes:
        build: "module:function" `(config, inputs, seed) -> Pretrainable`.
        load: "module:function" `(folder, inputs) -> Embedder`.
    """

    build: str
    load: str


# `family` of the configuration -> its code
FAMILIES: dict[str, Family] = {
    "jepa": Family("geojepa_cli.models.jepa.pretraining:build", "geojepa_cli.models.jepa.embedder:load"),
}


def baseline_needs(name: str) -> Needs:
    """Returns the modalities that a baseline reads."""
    return cast("Needs", _resolve(BASELINES[name]).needs)


def open_baseline(name: str, inputs: FrozenInputs) -> Embedder:
    """Returns a baseline, ready to embed.

    Args:
        name: a key of `BASELINES`.
        inputs: frozen features, on the device to embed on.
    """
    return cast("Embedder", _resolve(BASELINES[name])(inputs))


def open_published(folder: Path, family: str, inputs: FrozenInputs) -> Embedder:
    """Returns a published model, ready to embed.

    Args:
        folder: of the `models/` artifact.
        family: of its configuration.
        inputs: frozen features, on the device to embed on.

    Raises:
        DataError: weights are missing, unreadable, or do not fit the configuration.
    """
    return cast("Embedder", _resolve(FAMILIES[family].load)(folder, inputs))


def build_pretrainable(config: PretrainConfig, inputs: FrozenInputs, seed: int) -> Pretrainable:
    """Returns a model with its first weights, a function of configuration and seed, on the device of `inputs`."""
    return cast("Pretrainable", _resolve(FAMILIES[config.family].build)(config, inputs, seed))


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
