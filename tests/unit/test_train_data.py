"""Tiles of a training run: test groups, limits, features of another width."""

from __future__ import annotations

from pathlib import Path

import pytest
from training import config_of, open_data, write_region

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Invocation
from geojepa_cli.tasks.splits import split_groups


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


def settings_of(error: DataError) -> list[str]:
    """Values of `--set` in a hint."""
    assert error.hint is not None
    return [value or "" for name, value in error.hint.options if name == "--set"]


def test_tiles_of_the_tasks_test_groups_are_left_out(region: Path) -> None:
    everything = open_data(region, config_of("data.exclude_test_groups=false"))
    kept = open_data(region, config_of())
    split = split_groups(everything.store.groups[everything.view.tiles], 0)
    assert kept.view.tiles.tolist() == everything.view.tiles[split != 2].tolist()
    assert len(kept.view.tiles) < len(everything.view.tiles)
    assert kept.view.counts["tiles of test groups"] == int((split == 2).sum())


def test_features_of_another_width_are_refused_with_the_key_to_change(region: Path) -> None:
    with hints.invocation(Invocation("pretrain")), pytest.raises(DataError) as caught:
        open_data(region, config_of("model.tag_dim=384"))
    assert str(caught.value.hint) == "geojepa pretrain --set model.tag_dim=16"


@pytest.mark.parametrize(
    "override", ["data.min_entities=1000", "data.max_entities=1", "data.min_entities=1249", "data.max_entities=5"]
)
def test_limits_that_leave_no_tile_are_an_error_whose_hint_keeps_some(region: Path, override: str) -> None:
    narrow = [override, "data.min_entities=1"] if override == "data.max_entities=1" else [override]
    if override == "data.max_entities=5":
        narrow.append("data.min_entities=5")
    try:
        assert len(open_data(region, config_of(*narrow)).view.tiles)
    except DataError as error:
        assert "no tile is left" in error.message
        assert len(open_data(region, config_of(*narrow, *settings_of(error))).view.tiles)
    else:
        assert override.startswith("data.max_entities")


def test_the_largest_batch_is_bounded_by_budget_largest_tile_and_region(region: Path) -> None:
    data = open_data(region, config_of())
    lengths = data.store.lengths(data.view)
    assert data.batch_tokens(400) == 400
    assert data.batch_tokens(1) == lengths.max()
    assert data.batch_tokens(10**7) == lengths.sum()
