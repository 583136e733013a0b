"""Packed attention and pooling against loops over the sequences."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geojepa_cli.nn.attention import SelfAttention, flex_obstacle, packed_attention, shared_attention
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.layouts import PackedLayout, SharedLayout
from geojepa_cli.nn.packing import cu_from_lengths, interleave, ragged_arange, rank_in_segments, segment_ids
from geojepa_cli.nn.padding import GROUP_RATIO
from geojepa_cli.nn.pooling import max_mean

LENGTHS = [7, 1, 0, 40, 3, 3, 0, 39, 12]


def attention_by_formula(qkv: Tensor, heads: int, cu: Tensor, null_weight: float = 0.0) -> Tensor:
    """exp(q kᵀ / sqrt(d)) v, over the sum of the exps and the null weight; one sequence and one head at a time."""
    dim = qkv.shape[1] // 3
    width = dim // heads
    out = torch.zeros(len(qkv), dim, dtype=qkv.dtype)
    for start, end in zip(cu[:-1].tolist(), cu[1:].tolist(), strict=True):
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            query, key, value = (qkv[start:end, i * dim : (i + 1) * dim][:, columns] for i in range(3))
            weights = torch.exp(query @ key.T / math.sqrt(width))
            out[start:end, columns] = weights @ value / (null_weight + weights.sum(1, keepdim=True))
    return out


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 33), min_size=1, max_size=12), st.integers(0, 1000), st.sampled_from([0.0, 0.5, 64.0]))
def test_packed_attention_equals_a_loop_over_the_sequences(lengths: list[int], seed: int, null: float) -> None:
    cu = cu_from_lengths(torch.tensor(lengths))
    qkv = torch.randn(sum(lengths), 24, generator=torch.Generator().manual_seed(seed))
    if not len(qkv):
        return
    found = packed_attention(qkv, 2, PackedLayout.of(cu), null)
    torch.testing.assert_close(found, attention_by_formula(qkv, 2, cu, null), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("null", [0.0, 8.0])
def test_gradients_of_packed_attention_equal_the_loops(null: float) -> None:
    cu = cu_from_lengths(torch.tensor(LENGTHS))
    qkv = torch.randn(sum(LENGTHS), 24, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(sum(LENGTHS), 8, dtype=torch.float64)
    (packed,) = torch.autograd.grad((packed_attention(qkv, 2, PackedLayout.of(cu), null) * weight).sum(), qkv)
    (looped,) = torch.autograd.grad((attention_by_formula(qkv, 2, cu, null) * weight).sum(), qkv)
    torch.testing.assert_close(packed, looped)


def test_a_layout_groups_only_sequences_of_like_length_and_pads_no_others() -> None:
    layout = PackedLayout.of(cu_from_lengths(torch.tensor([100, 99, 80, 10, 9, 1])))
    padded = layout.padded
    assert [(group.count, group.keys) for group in padded.groups] == [(3, 100), (2, 10), (1, 1)]
    assert int(padded.keys.padding.sum()) == (1 + 20) + 1
    assert all(group.keys * GROUP_RATIO - 2 <= 80 for group in padded.groups[:1])


def test_a_null_weight_lets_attention_tell_many_from_few() -> None:
    layout = PackedLayout.of(torch.tensor([0, 3, 3 + 50]))
    alike = torch.cat([torch.zeros(53, 8), torch.ones(53, 4)], dim=1)  # equal scores, values of 1
    softmax = packed_attention(alike, 1, layout)
    torch.testing.assert_close(softmax, torch.ones(53, 4))
    counted = packed_attention(alike, 1, layout, 64.0)
    torch.testing.assert_close(counted[[0, 3], 0], torch.tensor([3 / 67, 50 / 114]))


def test_no_token_sees_another_sequence() -> None:
    cu = cu_from_lengths(torch.tensor(LENGTHS))
    transformer = Transformer(16, 2, 2, 2.0).eval()
    x = torch.randn(sum(LENGTHS), 16)
    changed = x.clone()
    changed[7] += torch.linspace(0.0, 1.0, 16)  # the sequence of length 1
    before, after = transformer(x, PackedLayout.of(cu)), transformer(changed, PackedLayout.of(cu))
    same = torch.ones(len(x), dtype=torch.bool)
    same[7] = False
    assert torch.equal(before[same], after[same])
    assert not torch.allclose(before[7], after[7])


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        SelfAttention(10, 4)


def shared_by_formula(query: Tensor, keys: Tensor, heads: int, contexts: list[int], targets: list[list[int]]) -> Tensor:
    """One query at a time: it attends to the context of its tile, a target's query also to its target."""
    dim = query.shape[1]
    width = dim // heads
    of_tile = list(torch.arange(sum(contexts)).split(contexts))
    attended = [(q, of_tile[tile]) for tile in range(len(contexts)) for q in of_tile[tile].tolist()]
    row = sum(contexts)
    for counts in targets:
        for tile, count in enumerate(counts):
            own = torch.arange(row, row + count)
            attended += [(int(q), torch.cat([of_tile[tile], own])) for q in own]
            row += count
    out = torch.zeros_like(query)
    for q, others in attended:
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            key, value = keys[others, :dim][:, columns], keys[others, dim:][:, columns]
            out[q, columns] = torch.softmax(key @ query[q, columns] / math.sqrt(width), 0) @ value
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 10_000))
def test_attention_with_a_shared_context_equals_a_loop_over_the_queries(tiles: int, sets: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    contexts = torch.randint(1, 30, (tiles,), generator=rng).tolist()
    targets = (torch.randint(-5, 20, (sets, tiles), generator=rng).clamp_min(0)).tolist()
    layout = SharedLayout.of(cu_from_lengths(torch.tensor(contexts)), cu_from_lengths(torch.tensor(targets).flatten()))
    tokens = sum(contexts) + sum(map(sum, targets))
    query = torch.randn(tokens, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(tokens, 16, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(tokens, 8, generator=rng, dtype=torch.float64)
    found = shared_attention(query, keys, 2, layout)
    expected = shared_by_formula(query, keys, 2, contexts, targets)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((out * weight).sum(), (query, keys)) for out in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("shared", [False, True])
def test_null_keys_stand_after_the_keys_of_each_sequence(shared: bool) -> None:
    if shared:
        layout: PackedLayout | SharedLayout = SharedLayout.of(torch.tensor([0, 3, 5]), torch.tensor([0, 2, 2, 2, 5]))
        expected = [[0, 1, 2], [3, 4], [0, 1, 2, 5, 6], [3, 4, 7, 8, 9]]  # context of both tiles, two targets
        tokens = 10
    else:
        layout = PackedLayout.of(torch.tensor([0, 2, 2, 5]))
        expected, tokens = [[0, 1], [], [2, 3, 4]], 5
    index, ends = layout.null_keys
    assert [part.tolist() for part in index.tensor_split(ends[1:-1])] == [[*keys, tokens] for keys in expected]
    assert int(ends[0]) == 0 and int(ends[-1]) == len(index)


def layout_of(shared: bool, device: str = "cpu") -> tuple[PackedLayout | SharedLayout, int]:
    """A layout of 300 to 400 tokens, and their number."""
    if not shared:
        lengths = torch.tensor([7, 1, 0, 140, 3, 39, 12, 130])
        return PackedLayout.of(cu_from_lengths(lengths).to(device)), int(lengths.sum())
    contexts, targets = torch.tensor([5, 1, 140]), torch.tensor([7, 0, 12, 3, 130, 0])
    cu = [cu_from_lengths(lengths).to(device) for lengths in (contexts, targets)]
    return SharedLayout.of(*cu), int(contexts.sum() + targets.sum())


@pytest.mark.parametrize("null", [0.0, 8.0])
@pytest.mark.parametrize("shared", [False, True])
def test_attention_by_blocks_equals_attention_by_groups(shared: bool, null: float) -> None:
    if (obstacle := flex_obstacle()) is not None:
        pytest.skip(obstacle)
    layout, tokens = layout_of(shared)
    qkv = torch.randn(tokens, 3 * 32, generator=torch.Generator().manual_seed(1))
    module = SelfAttention(32, 2, null)
    outputs = [module.attend(qkv, one) for one in (layout, layout.with_blocks())]
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)


def test_an_older_pytorch_has_a_clear_reason_and_no_attention_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention import flex_attention

    monkeypatch.delattr(flex_attention, "AuxRequest", raising=False)
    monkeypatch.delitem(sys.modules, "geojepa_cli.nn.flex", raising=False)
    assert flex_obstacle() == f"FlexAttention of PyTorch {torch.__version__} is too old: it has no `AuxRequest`"
    layout, _ = layout_of(shared=False)
    with pytest.raises(ImportError, match="too old"):
        layout.with_blocks()


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="the variable-length kernel needs a CUDA device")


@CUDA
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("null", [0.0, 0.5, 64.0])
@pytest.mark.parametrize("shared", [False, True])
def test_attention_on_a_gpu_in_half_precision_equals_attention_by_groups(
    shared: bool, null: float, blocks: bool
) -> None:
    layout, tokens = layout_of(shared, "cuda")
    qkv = torch.randn(tokens, 3 * 96, device="cuda").bfloat16().float().requires_grad_()
    weight = torch.randn(tokens, 96, device="cuda")
    module = SelfAttention(96, 2, null).cuda()
    fast = layout.with_blocks() if blocks else layout
    outputs = [module.attend(qkv.bfloat16(), fast), module.attend(qkv, layout)]
    torch.testing.assert_close(outputs[0].float(), outputs[1], atol=3e-2, rtol=3e-2)
    gradients = [torch.autograd.grad((out.float() * weight).sum(), qkv)[0] for out in outputs]
    torch.testing.assert_close(gradients[0], gradients[1], atol=6e-2, rtol=6e-2)


def test_interleaving_puts_the_parts_of_each_sequence_side_by_side() -> None:
    index, joined = interleave(torch.tensor([0, 2, 2, 3]), torch.tensor([0, 1, 3, 3]))
    assert joined.tolist() == [0, 3, 5, 6]
    assert index.tolist() == [0, 1, 3, 4, 5, 2]  # 0..2 are the first part's tokens, 3..5 the second's


def test_ragged_ranges_and_segments() -> None:
    assert ragged_arange(torch.tensor([5, 0, 9]), torch.tensor([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert segment_ids(torch.tensor([0, 2, 2, 5])).tolist() == [0, 0, 2, 2, 2]


def test_ranks_are_within_a_sequence() -> None:
    cu = torch.tensor([0, 3, 3, 7])
    keys = torch.tensor([0.5, 0.1, 0.9, 0.2, 0.8, 0.0, 0.4], dtype=torch.float64)
    assert rank_in_segments(keys, segment_ids(cu), cu).tolist() == [1, 0, 2, 1, 3, 0, 2]


def test_pooling_is_max_next_to_mean_and_zero_for_an_empty_sequence() -> None:
    x = torch.tensor([[1.0, -5.0], [3.0, -7.0], [-2.0, -1.0]])
    assert max_mean(x, torch.tensor([0, 2, 2, 3])).tolist() == [
        [3.0, -5.0, 2.0, -6.0],
        [0.0, 0.0, 0.0, 0.0],
        [-2.0, -1.0, -2.0, -1.0],
    ]
