"""Model card: the tiles that training left out."""

from __future__ import annotations

import pytest

from geojepa_cli.config.load import load_run_config
from geojepa_cli.export.model_card import model_card

SPLIT = "It was trained without the test groups of the split by seed 0, and without any label."
FOLD = "without the groups of fold 1 of 4 by seed 0, and the zoom-14 tiles next to them, and without any label."
RANDOM = "It was not trained: its weights are random, and do not depend on any tile or label."


def card(config: str, *settings: str) -> str:
    made = model_card("m", load_run_config(config, list(settings)), 0, ["processed/oak@1"], {}, {}, ["© Oak"])
    return made.partition("What it saw of tested tiles")[2].strip()


@pytest.mark.parametrize("config", ["tiny.yaml", "tag-ae.yaml", "tagformer-lmae.yaml"])
def test_the_card_names_the_tiles_that_training_left_out(config: str) -> None:
    assert card(config).startswith(SPLIT)
    everything = card(config, "data.exclude_test_groups=false")
    assert everything.startswith("It was trained on all groups, and without any label.")


@pytest.mark.parametrize("exclude", ["true", "false"])
def test_the_card_of_a_model_of_a_fold_names_the_fold_and_not_the_test_split(exclude: str) -> None:
    text = card("tag-ae.yaml", "data.fold=1", "data.folds=4", f"data.exclude_test_groups={exclude}")
    assert text.startswith(f"It was trained {FOLD}")
    assert "without the test groups" not in text and "tests all of them" not in text
    assert "It saw tiles of the other folds, which contain test groups of the split." in text


def test_the_card_of_first_weights_says_that_the_model_was_not_trained() -> None:
    assert card("tiny.yaml", "train.max_steps=0") == RANDOM
    counted = card("tag-ae.yaml", "train.max_steps=0", "data.fold=1", "data.folds=4")
    assert counted == f"{RANDOM} The tags that it counts were chosen {FOLD}"
