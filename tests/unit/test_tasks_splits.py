"""Splits and thinning by seeded hashes of names: adding data never changes them."""

from __future__ import annotations

import numpy as np
import pytest

from geojepa_cli.errors import UsageError
from geojepa_cli.grid import group_of
from geojepa_cli.tasks.splits import (
    BUFFER,
    SplitRule,
    empty_parts,
    few_groups,
    fold_groups,
    group_names,
    groups_in,
    hash_fractions,
    next_to,
    split_groups,
    survives_thinning,
    with_buffer,
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
    # Published results depend on these: another hash would move tiles between train and test.
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


def block(side: int, corner: tuple[int, int] = (4500, 6400)) -> np.ndarray:
    """The groups of a square, row by row."""
    return np.array([(corner[0] + i % side) << 32 | (corner[1] + i // side) for i in range(side * side)])


def test_the_buffer_is_every_group_that_touches_a_test_group() -> None:
    side = 40
    split = split_groups(block(side), 0)
    test = split.reshape(side, side) == 2
    found = with_buffer(block(side), split, 0).reshape(side, side)
    for y in range(1, side - 1):  # at the rim, groups outside the square count too
        for x in range(1, side - 1):
            near = test[y - 1 : y + 2, x - 1 : x + 2].any()
            expected = 2 if test[y, x] else BUFFER if near else split[y * side + x]
            assert found[y, x] == expected
    assert {0, 1, 2, BUFFER} == set(found.ravel().tolist())


def test_the_buffer_does_not_move_when_regions_are_added() -> None:
    # A strip whose neighbours are added later: their hashes count from the start.
    all_groups = block(30)
    strip = all_groups[5 * 30 : 6 * 30]
    whole = with_buffer(all_groups, split_groups(all_groups, 2), 2)[5 * 30 : 6 * 30]
    np.testing.assert_array_equal(with_buffer(strip, split_groups(strip, 2), 2), whole)


def test_neighbours_of_tested_groups_are_found_across_the_antimeridian_and_not_beyond_the_poles() -> None:
    last = (1 << 14) - 1
    groups_ = np.array([x << 32 | y for x, y in ((0, 10), (last, 11), (5, 0), (5, last), (last - 1, 10))])
    assert next_to(groups_, groups_[:1]).tolist() == [True, True, False, False, False]
    assert next_to(groups_, groups_[2:3]).tolist() == [False, False, True, False, False]
    assert next_to(groups_, groups_[:0]).tolist() == [False] * 5


def test_a_random_split_puts_tiles_of_one_group_on_several_sides_and_is_stable() -> None:
    rule = SplitRule(seed=1, by="random", folds=4)
    names = [f"16_{i}_25957" for i in range(4000)]
    one_group = np.repeat(groups(1), 4000)
    split, fold = rule.splits(one_group, names), rule.fold_numbers(one_group, names)
    assert fold is not None
    np.testing.assert_allclose(np.bincount(split) / 4000, [0.8, 0.1, 0.1], atol=0.02)
    np.testing.assert_allclose(np.bincount(fold) / 4000, 0.25, atol=0.03)
    np.testing.assert_array_equal(rule.splits(one_group[9:99], names[9:99]), split[9:99])
    np.testing.assert_array_equal(rule.fold_numbers(one_group[9:99], names[9:99]), fold[9:99])
    assert (SplitRule(seed=2, by="random").splits(one_group, names) != split).any()


def test_a_rule_splits_by_group_and_gives_folds_only_where_asked() -> None:
    np.testing.assert_array_equal(SplitRule(3).splits(groups(90), []), split_groups(groups(90), 3))
    assert SplitRule(3).fold_numbers(groups(90), []) is None
    np.testing.assert_array_equal(SplitRule(3, folds=5).fold_numbers(groups(90), []), fold_groups(groups(90), 5, 3))
    buffered = SplitRule(3, buffer=True).splits(groups(90), [])
    np.testing.assert_array_equal(buffered, with_buffer(groups(90), split_groups(groups(90), 3), 3))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"by": "tile"}, "`tile`"),
        ({"folds": 1}, "2 to 20"),
        ({"folds": 21}, "2 to 20"),
        ({"by": "random", "buffer": True}, "cannot be combined with `--split random`"),
    ],
)
def test_rules_that_make_no_sense_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SplitRule(**arguments)  # type: ignore[arg-type]


def test_empty_parts_and_few_groups_are_named() -> None:
    assert empty_parts({"train": 3, "val": 0, "test": 0, "buffer": 0}) == ["`val`", "`test`"]
    assert few_groups(20) == [] == few_groups(0)
    assert "only 19 test groups" in few_groups(19)[0]


def test_groups_are_counted_once_and_only_with_a_kept_tile() -> None:
    many = np.repeat(groups(4), 3)
    split = np.repeat([0, 0, 1, 2], 3).astype(np.uint8)
    kept = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1], bool)
    assert [groups_in(many, kept & (split == part)) for part in range(3)] == [1, 1, 1]


def test_wrong_shares_and_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_groups(groups(3), 0, (0.5, 0.1, 0.1))
    with pytest.raises(UsageError):
        fold_groups(groups(3), 1, 0)
