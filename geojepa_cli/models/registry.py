"""Registry of all models that compute embeddings: baselines, and architectures that can be trained.

To add a baseline, write one file in `baselines/` and add one line to `BASELINES`, as in the example of
`CONTRIBUTING.md`. `embed`, `probe`, `knn` and `report` then accept the name of the baseline. A program or notebook can
add a baseline at run time: `BASELINES["mean_box"] = "my_module:MeanBox"`.

The classes and functions in this registry are imported on first use, so `geojepa --help` does not import torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from geojepa_cli.config.images import IMAGE_BASELINES
from geojepa_cli.config.modality import Needs
from geojepa_cli.config.names import WEIGHTS

if TYPE_CHECKING:
    from geojepa_cli.config.families import RunConfig
    from geojepa_cli.models.base import Embedder, FrozenInputs, Pretrainable

DEFAULT_BASELINE = "tagpool"

# name for the option `--model` -> "module:Class". The class attribute `name` must be the same. Image backbones share
# one class, which is constructed with the name.
BASELINES: dict[str, str] = {
    "tagpool": "geojepa_cli.baselines.tagpool:TagPool",
    "tagpool-counts": "geojepa_cli.baselines.tagpool:TagPoolCounts",
    "tag-counts": "geojepa_cli.baselines.tag_counts:TagCounts",
    "tag-log-counts": "geojepa_cli.baselines.tag_counts:TagLogCounts",
    **dict.fromkeys(IMAGE_BASELINES, "geojepa_cli.baselines.image_backbone:ImageBackbone"),
}


class Family(NamedTuple):
    """Model architecture: the names of the functions that build and load its models.

    The functions are imported on first use.

    Attributes:
        build: "module:function" that builds an untrained model: `(config, inputs, seed) -> Pretrainable`.
        load: "module:function" that loads a trained model: `(folder, inputs, weights) -> Embedder`.
    """

    build: str
    load: str


# name of the architecture (`family` of its configuration) -> its code
FAMILIES: dict[str, Family] = {
    "jepa": Family("geojepa_cli.models.jepa.pretraining:build", "geojepa_cli.models.jepa.embedder:load"),
    "gair": Family("geojepa_cli.models.gair.pretraining:build", "geojepa_cli.models.gair.embedder:load"),
    "polygon_gnn": Family(
        "geojepa_cli.models.polygon_gnn.pretraining:build", "geojepa_cli.models.polygon_gnn.embedder:load"
    ),
    "tag_ae": Family("geojepa_cli.baselines.tag_ae:build", "geojepa_cli.baselines.tag_ae:load"),
    "tagformer_lmae": Family("geojepa_cli.baselines.lmae:build", "geojepa_cli.baselines.lmae:load"),
}


def baseline_needs(name: str) -> Needs:
    """Returns the modalities that a baseline reads. `name` is a key of `BASELINES`."""
    return cast("Needs", resolve(BASELINES[name]).needs)


def baseline_params(name: str) -> dict[str, str]:
    """Returns additional parameters that identify the embeddings of a baseline; usually none.

    Only a baseline whose vectors depend on data of the package has parameters. Its class has the static method
    `params`, which returns them.

    Args:
        name: name of the baseline.
    """
    params = getattr(resolve(BASELINES[name]), "params", dict) if name in BASELINES else dict
    return cast("dict[str, str]", params())


def open_baseline(name: str, inputs: FrozenInputs) -> Embedder:
    """Returns a baseline to compute embeddings with.

    Args:
        name: name of the baseline, a key of `BASELINES`.
        inputs: text embeddings of tags, on the device to compute on.
    """
    code = resolve(BASELINES[name])
    return cast("Embedder", code(inputs, name) if name in IMAGE_BASELINES else code(inputs))


def open_published(folder: Path, family: str, inputs: FrozenInputs, weights: str = WEIGHTS) -> Embedder:
    """Loads a trained model to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        family: name of the model's architecture, a key of `FAMILIES`.
        inputs: text embeddings of tags, on the device to compute on.
        weights: name of the file with weights in the folder.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """
    return cast("Embedder", resolve(FAMILIES[family].load)(folder, inputs, weights))


def build_pretrainable(config: RunConfig, inputs: FrozenInputs, seed: int) -> Pretrainable:
    """Returns an untrained model on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: text embeddings of tags.
        seed: random seed of the initial weights.
    """
    return cast("Pretrainable", resolve(FAMILIES[config.family].build)(config, inputs, seed))


def resolve(target: str) -> Any:
    """Imports a class or function. `target` is "module:name"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
