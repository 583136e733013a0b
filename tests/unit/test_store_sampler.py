"""The token-budget sampler: every tile once, within the budget, in an order that seed and epoch decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geojepa_cli.store.sampler import TokenBudgetSampler


@st.composite
def samplers(draw: st.DrawFn) -> TokenBudgetSampler:
    lengths = draw(st.lists(st.integers(0, 60), max_size=120))
    tiles = np.random.default_rng(draw(st.integers(0, 99))).permutation(500)[: len(lengths)]
    return TokenBudgetSampler(
        tiles.astype(np.int64),
        np.array(lengths, np.int64),
        budget=draw(st.integers(1, 200)),
        seed=draw(st.integers(0, 5)),
        shuffle=draw(st.booleans()),
        block=draw(st.sampled_from([1, 7, 64])),
        tile_cost=draw(st.sampled_from([0, 3])),
        max_tiles=draw(st.sampled_from([None, 1, 9])),
    )


@given(samplers(), st.integers(0, 3))
def test_an_epoch_has_every_tile_exactly_once(sampler: TokenBudgetSampler, epoch: int) -> None:
    plan = sampler.plan(epoch)
    assert sorted(tile for batch in plan for tile in batch.tolist()) == sorted(sampler.tiles.tolist())
    assert sampler.n_batches(epoch) == len(plan)


@given(samplers())
def test_a_batch_keeps_the_budget_or_is_one_tile(sampler: TokenBudgetSampler) -> None:
    length = dict(zip(sampler.tiles.tolist(), sampler.lengths.tolist(), strict=True))
    for batch in sampler.plan(0):
        cost = sum(length[tile] + sampler.tile_cost for tile in batch.tolist())
        assert cost <= sampler.budget or len(batch) == 1
        assert len(batch) <= (sampler.max_tiles or len(sampler.tiles) + 1)


def long_sampler(**options: object) -> TokenBudgetSampler:
    lengths = np.random.default_rng(0).integers(5, 1250, 3000)
    return TokenBudgetSampler(np.arange(3000), lengths, budget=8192, **options)  # type: ignore[arg-type]


def test_seed_and_epoch_decide_the_order() -> None:
    def order(**options: object) -> list[int]:
        epoch = options.pop("epoch", 0)
        return np.concatenate(long_sampler(**options).plan(epoch)).tolist()  # type: ignore[arg-type]

    assert order() == order()
    assert order() != order(seed=1) != order(epoch=1) != order()


def test_without_shuffling_tiles_keep_their_order() -> None:
    sampler = long_sampler(shuffle=False)
    assert np.concatenate(sampler.plan(3)).tolist() == list(range(3000))


def test_batches_are_nearly_full_and_of_similar_lengths() -> None:
    sampler = long_sampler(block=3000)
    batches = sampler.plan(0)
    tokens = sum(int(sampler.lengths[batch].sum()) for batch in batches)
    padded = sum(len(batch) * int(sampler.lengths[batch].max()) for batch in batches)
    assert tokens / (len(batches) * 8192) > 0.9
    assert padded / tokens < 1.1
    first_half = np.concatenate(batches[: len(batches) // 2])
    assert abs(sampler.lengths[first_half].mean() / sampler.lengths.mean() - 1) < 0.2  # not from short to long


def test_rows_of_a_batch_ascend_so_that_files_are_read_forwards() -> None:
    assert all((np.diff(batch) > 0).all() for batch in long_sampler().plan(0))


def test_a_tile_larger_than_the_budget_is_a_batch() -> None:
    sampler = TokenBudgetSampler(np.arange(5), np.array([3, 3, 50, 3, 3]), budget=10, shuffle=False)
    assert [batch.tolist() for batch in sampler.plan(0)] == [[0, 1], [2], [3, 4]]


def test_a_budget_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        TokenBudgetSampler(np.arange(1), np.arange(1), budget=0)
