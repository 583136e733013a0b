"""Vocabulary of TagAE: the tags that have a column, and how it is read from a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geojepa_cli.baselines.tag_ae import TagAE
from geojepa_cli.baselines.vocabulary import TagVocabulary
from geojepa_cli.config.baselines import TagAEConfig
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.errors import DataError
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.published import FORMAT, save_model
from geojepa_cli.models.registry import open_published
from geojepa_cli.store.tensors import save_tensors


def test_a_vocabulary_has_the_most_frequent_tags_of_all_regions_and_is_read_back() -> None:
    tags = TagList(["a", "é", "a", "c"], ["1", "=", "1", "3"], np.array([2, 4, 3, 0]))
    vocabulary = TagVocabulary.learn(tags, 10)
    assert vocabulary.texts == ("a=1", "é==")
    assert vocabulary.columns_of(tags).tolist() == [0, 1, 0, 2]
    assert TagVocabulary.read(vocabulary.utf8, vocabulary.ends).texts == vocabulary.texts
    assert TagVocabulary.learn(tags, 1).texts == ("a=1",)


@pytest.mark.parametrize(
    ("utf8", "ends", "words"),
    [
        ([97, 61, 98], [3, 2], "order"),
        ([97, 61, 98], [2], "order"),
        ([97, 61, 98], [[3]], "row of integers"),
        ([97, 61, 98], [3.0], "row of integers"),
        ([97.0, 61.0, 98.0], [3], "row of bytes"),
        ([[97, 61, 98]], [3], "row of bytes"),
        ([97, 61, 98, 97, 61, 98], [3, 6], "two columns"),
        ([255, 61, 98], [3], "decode"),
    ],
)
def test_a_damaged_vocabulary_is_refused(utf8: list[Any], ends: list[Any], words: str, tmp_path: Path) -> None:
    data = torch.tensor(utf8)
    data = data if data.is_floating_point() else data.to(torch.uint8)
    with pytest.raises(ValueError, match=words):
        TagVocabulary.read(data, torch.tensor(ends))
    config = TagAEConfig.model_validate({"model": {"embed_dim": 8, "hidden_dim": 8}, "train": {"epochs": 1}})
    module = TagAE(TagVocabulary(["a=b"]), config)
    save_model(tmp_path, module, config)
    tensors = module.state_dict() | {"vocabulary.utf8": data, "vocabulary.ends": torch.tensor(ends)}
    save_tensors(tmp_path / WEIGHTS, tensors, FORMAT)
    with pytest.raises(DataError, match="does not match the model"):
        open_published(tmp_path, config.family, FrozenInputs(torch.zeros(1, 4), tags=TagList([], [])))
