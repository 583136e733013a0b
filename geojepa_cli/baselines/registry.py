"""Registry of baselines that `probe` trains on the labels of a task. `models.registry` has all other models.

The functions in this registry are imported on first use, so `geojepa --help` does not import torch.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple, cast

from geojepa_cli.config.images import TUNED_BASELINES
from geojepa_cli.models.registry import resolve

if TYPE_CHECKING:
    from geojepa_cli.baselines.supervised import Fitted, TaskTiles
    from geojepa_cli.config.supervised import SupervisedConfig
    from geojepa_cli.evaluate.folds import Fold


class Supervised(NamedTuple):
    """Baseline that is trained on the labels of a task, end to end. It computes no embeddings.

    The functions are imported on first use.

    Attributes:
        config: "module:function" that returns the configuration: `(name) -> config`.
        fit: "module:function" that trains the model and predicts: `(config, tiles, fold, clamp, seed) -> Fitted`.
    """

    config: str
    fit: str


_TAGFORMER = Supervised("geojepa_cli.config.supervised:load_tagformer", "geojepa_cli.baselines.tagformer:fit")
_TAG_COUNT_MLP = Supervised(
    "geojepa_cli.config.supervised:load_tag_count_mlp", "geojepa_cli.baselines.tag_count_mlp:fit"
)

_TUNED = Supervised("geojepa_cli.config.supervised:load_tuned", "geojepa_cli.baselines.tuned_backbone:fit")

# name for the option `--model` of `probe` -> its code; names that start with `paper-` have about the size of the thesis
SUPERVISED: dict[str, Supervised] = {
    f"{size}{name}": code
    for size, (name, code) in product(
        ("", "paper-"),
        [
            ("tag-count-mlp", _TAG_COUNT_MLP),
            *((f"tagformer{inputs}", _TAGFORMER) for inputs in ("", "-p", "-s", "-sp")),
        ],
    )
} | dict.fromkeys(TUNED_BASELINES, _TUNED)


def supervised_config(name: str) -> SupervisedConfig:
    """Returns the configuration of a supervised baseline, a key of `SUPERVISED`."""
    return cast("SupervisedConfig", resolve(SUPERVISED[name].config)(name))


def fit_supervised(name: str, tiles: TaskTiles, fold: Fold, clamp: tuple[float, float], seed: int) -> Fitted:
    """Trains a supervised baseline on the training tiles of a fold, and predicts the labels of its test tiles.

    Args:
        name: name of the baseline, a key of `SUPERVISED`.
        tiles: tiles of the task.
        fold: positions of the training, validation and test tiles.
        clamp: minimum and maximum to which predictions are limited (clipped).
        seed: random seed.
    """
    return cast("Fitted", resolve(SUPERVISED[name].fit)(supervised_config(name), tiles, fold, clamp, seed))
