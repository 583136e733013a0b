"""Configurations of baselines that are trained without labels: sizes, and settings that have no effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from geojepa_cli.baselines.lmae import Lmae, LmaePretraining
from geojepa_cli.baselines.tag_ae import TagAE, TagAEPretraining
from geojepa_cli.baselines.vocabulary import TagVocabulary
from geojepa_cli.config.load import load_run_config
from geojepa_cli.errors import UsageError
from geojepa_cli.models.base import FrozenInputs, TagList

NAMES = ("tag-ae", "tagformer-lmae")


def test_the_presets_have_the_stated_parameters() -> None:
    config: Any = load_run_config("tag-ae.yaml")
    table = FrozenInputs(torch.zeros(1, 1024), tags=TagList(["a"], ["b"], np.array([1])))
    with torch.device("meta"):
        vocabulary = TagVocabulary.learn(table.tag_list, 1)
        vocabulary.texts = ("a=b",) * 12_500
        counts = TagAEPretraining(TagAE(vocabulary, config), config, torch.empty(0)).parameter_counts()
    assert [round(counts[key] / 1e6, 1) for key in ("parameters", "decoder_parameters")] == [3.5, 13.1]
    for tag_dim, millions in ((1024, 17.8), (384, 17.4)):
        large: Any = load_run_config("paper-tagformer-lmae.yaml", [f"model.tag_dim={tag_dim}"])
        with torch.device("meta"):
            counts = LmaePretraining(Lmae(large.model), large, table).parameter_counts()
        assert round(sum(counts.values()) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *((name, f"train.{key}") for name in NAMES for key in ("ema_momentum=0.9", "ema_momentum_end=1.0")),
        *(("tag-ae", f"train.{key}=true") for key in ("compile", "recompute")),
    ],
)
def test_settings_without_effect_are_refused(name: str, setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(UsageError, match="has no effect on a model of the family") as caught:
        load_run_config(name, [setting])
    assert f"--set {key}=" in str(caught.value.hint)
    load_run_config(name, ["train.ema_momentum=0.997", "train.compile=false"])  # as in a published `config.yaml`
