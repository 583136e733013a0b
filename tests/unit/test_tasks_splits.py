"""Splits and thinning: by seeded hashes of names, so that nothing moves when data is added."""

from __future__ import annotations

import numpy as np
import pytest

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import group_of
from geojepa_cli.tasks.splits import (
    check_splits,
    fold_groups,
    group_names,
    groups_per_split,
    hash_fractions,
    split_groups,
    survives_thinning,
)


def groups(n: int, first: int = 0) -> np.ndarray:
    """`n` groups of one tile each."""
    index = np.arange(first, first + n, dtype=np.int64)
    return (4500 + index % 97) << 32 | (6400 + index // 97)


def test_a_group_is_named_as_the_grid_names_it() -> None:
    x, y = 18052, 25957
    assert group_names(np.array([(x >> 2) << 32 | (y >> 2)])) == [group_of(x, y, 16)]


def test_the_split_of_a_group_does_not_change_when_regions_are_added() -> None:
    small, large = groups(200), np.concatenate([groups(3000, 200), groups(200)])
    np.testing.assert_array_equal(split_groups(small, seed=3), split_groups(large, seed=3)[-200:])
    np.testing.assert_array_equal(fold_groups(small, 5, seed=3), fold_groups(large, 5, seed=3)[-200:])


def test_known_splits_stay_as_they_are() -> None:
    # Published figures depend on these: a change of the hash would move tiles between train and test.
    assert group_names(groups(1)) == ["14_4500_6400"]
    found = split_groups(groups(60), seed=0)
    assert np.flatnonzero(found == 1).tolist() == [10, 13, 16, 20, 28]
    assert np.flatnonzero(found == 2).tolist() == [48, 53]


def test_shares_are_met() -> None:
    share = np.bincount(split_groups(groups(20_000), seed=0)) / 20_000
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.01)


def test_another_seed_draws_other_groups() -> None:
    assert (split_groups(groups(1000), 0) != split_groups(groups(1000), 1)).mean() > 0.2


def test_all_tiles_of_a_group_fall_into_one_split() -> None:
    many = np.repeat(groups(50), 16)
    assert all(len(set(part)) == 1 for part in split_groups(many, 0).reshape(50, 16).tolist())


def test_folds_cover_all_and_are_of_like_size() -> None:
    counts = np.bincount(fold_groups(groups(10_000), 5, seed=1), minlength=5)
    assert len(counts) == 5
    assert counts.min() > 1850


def test_hash_fractions_are_uniform_and_below_one() -> None:
    fractions = hash_fractions((str(i) for i in range(20_000)), "salt")
    assert fractions.min() >= 0
    assert fractions.max() < 1
    np.testing.assert_allclose(np.histogram(fractions, 10, (0, 1))[0] / 2000, 1, atol=0.1)
    assert hash_fractions([], "salt").shape == (0,)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_thinning_keeps_its_share_and_does_not_depend_on_other_tiles(share: float) -> None:
    names = [f"16_{i}_25957" for i in range(20_000)]
    kept = survives_thinning(names, share, "bridge", seed=0)
    assert abs(kept.mean() - share) < 0.008
    np.testing.assert_array_equal(kept[5:50], survives_thinning(names[5:50], share, "bridge", seed=0))
    assert (kept != survives_thinning(names, share, "bridge", seed=1)).any()
    assert (kept != survives_thinning(names, share, "car_bridge", seed=0)).any()


def test_thinning_is_nested_so_that_a_larger_share_only_adds_tiles() -> None:
    names = [f"16_{i}_25957" for i in range(2000)]
    small, large = (survives_thinning(names, share, "bridge", 0) for share in (0.1, 0.25))
    assert (large | ~small).all()
    assert survives_thinning(names, 1.0, "bridge", 0).all()


def test_few_test_groups_are_warned_of_and_empty_splits_are_an_error_on_request() -> None:
    every = np.ones(300, bool)
    split = split_groups(groups(300), 0)
    assert check_splits(split, every, groups(300), strict=True) == []
    few = check_splits(split[:100], every[:100], groups(100))
    assert len(few) == 1 and "test groups" in few[0]
    with pytest.raises(DataError, match="`val` and `test`"):
        check_splits(np.zeros(10, np.uint8), np.ones(10, bool), groups(10), strict=True)
    assert len(check_splits(np.zeros(10, np.uint8), np.ones(10, bool), groups(10))) == 2


def test_groups_are_counted_once_and_only_with_a_kept_tile() -> None:
    many = np.repeat(groups(4), 3)
    split = np.repeat([0, 0, 1, 2], 3).astype(np.uint8)
    kept = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1], bool)
    assert groups_per_split(split, kept, many) == {"train": 1, "val": 1, "test": 1}


def test_wrong_shares_and_folds_are_refused() -> None:
    with pytest.raises(UsageError):
        split_groups(groups(3), 0, (0.5, 0.1, 0.1))
    with pytest.raises(UsageError):
        fold_groups(groups(3), 1, 0)
