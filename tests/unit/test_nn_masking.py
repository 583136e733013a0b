"""Masks: shares, disjointness, smallest context, and the area rule checked by a loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_batches import IMAGE, TAGS, rates, rectangles
from torch import Tensor

from geojepa_cli.nn.masks.draw import AREA, KIND, MODALITY, RANDOM, Masks, draw_masks
from geojepa_cli.nn.masks.indices import MaskIndices, PredictorInput
from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.masks.targets import area_targets, kind_targets
from geojepa_cli.nn.packing import cu_from_lengths, segment_ids

ONLY_RANDOM = rates(random=1, area=0, modality=0)
ONLY_AREA = rates(random=0, area=1, modality=0)


def drawn(lengths: list[int], rates: MaskRates, seed: int = 0, modality: Tensor | None = None) -> tuple[Masks, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    box = rectangles(sum(lengths), rng)
    kinds = torch.zeros(len(box), dtype=torch.int64) if modality is None else modality
    cu = cu_from_lengths(torch.tensor(lengths))
    return draw_masks(box, kinds, cu, rates, rng), cu


def per_tile(mask: Tensor, cu: Tensor) -> list[Tensor]:
    return [mask[..., a:b] for a, b in zip(cu[:-1].tolist(), cu[1:].tolist(), strict=True)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=10), st.integers(0, 10_000), st.booleans())
def test_context_and_targets_never_share_a_token_and_both_are_there(lengths: list[int], seed: int, mixed: bool) -> None:
    modality = None
    if mixed:
        modality = torch.randint(0, 2, (sum(lengths),), generator=torch.Generator().manual_seed(seed))
    masks, cu = drawn(lengths, rates(), seed, modality)
    assert not (masks.context & masks.targets.any(0)).any()
    shares = {RANDOM: 0.10, AREA: 0.15, MODALITY: 0.15}
    tiles = zip(per_tile(masks.context, cu), per_tile(masks.targets, cu), masks.strategy.tolist(), strict=True)
    for context, targets, strategy in tiles:
        tokens = len(context)
        assert int(context.sum()) >= min(math.ceil(shares[strategy] * tokens - 1e-6), max(tokens - 1, 1)) >= 1
        assert bool(targets.any()) == (tokens > 1)


def test_a_random_target_holds_45_percent_of_the_tokens() -> None:
    generous = rates(random=1, area=0, modality=0, random_context=0.0, num_targets=1)
    masks, cu = drawn([100, 21, 2], generous)
    assert [int(targets.sum()) for targets in per_tile(masks.targets, cu)] == [45, 9, 1]
    four, cu = drawn([100, 21, 2], ONLY_RANDOM)
    for targets, most in zip(per_tile(four.targets, cu), [45, 9, 1], strict=True):
        assert targets.sum(1).max() <= most  # what a context below its minimum took is in no target


def test_random_context_is_about_eleven_percent_on_average() -> None:
    masks, _ = drawn([200] * 200, ONLY_RANDOM)
    assert 0.10 <= float(masks.context.float().mean()) <= 0.12  # 0.55⁴ = 9 %, at least 10 %: thesis table 14


def test_an_area_target_is_the_tokens_with_their_centre_in_its_box() -> None:
    lengths = [30, 1, 50]
    rng = torch.Generator().manual_seed(3)
    box = rectangles(sum(lengths), rng)
    segments = segment_ids(cu_from_lengths(torch.tensor(lengths)))
    chance = torch.rand(4, 2, 3, generator=rng, dtype=torch.float64)
    found = area_targets(box, segments, chance, rates())
    for target in range(2):
        for token in range(len(box)):
            u_area, u_aspect, u_x, u_y = (float(chance[i, target, segments[token]]) for i in range(4))
            area = 0.35 + 0.05 * u_area
            aspect = 2.0 ** (2 * u_aspect - 1)
            width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
            assert 0.35 <= width * height <= 0.40 + 1e-12
            assert 0.5 <= width / height <= 2.0
            west, south = (1 - width) * u_x, (1 - height) * u_y
            x, y = (sum(box[token, i::2].tolist()) / 4 for i in (0, 1))
            assert bool(found[target, token]) == (west <= x <= west + width and south <= y <= south + height)


def test_a_centre_past_the_border_counts_as_on_it() -> None:
    box = torch.tensor([[1.05, 0.4, 1.15, 0.4, 1.15, 0.5, 1.05, 0.5]])
    chance = torch.tensor([0.5, 0.5, 1.0, 0.5], dtype=torch.float64)[:, None, None]  # the box touches the east border
    assert area_targets(box, torch.tensor([0]), chance, rates()).tolist() == [[True]]


def test_a_tile_whose_area_targets_are_all_empty_gets_a_random_mask() -> None:
    corner = torch.tensor([[0.0, 0.0, 0.01, 0.0, 0.01, 0.01, 0.0, 0.01]]).repeat(20, 1)  # all in one corner
    cu = torch.tensor([0, 20])
    strategies = set()
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        masks = draw_masks(corner, torch.zeros(20, dtype=torch.int64), cu, ONLY_AREA, rng)
        strategies.add(int(masks.strategy[0]))
        assert masks.targets.any()
    assert RANDOM in strategies


def test_strategies_come_as_often_as_asked_and_modality_only_where_there_are_two() -> None:
    tiles = 4000
    modality = torch.zeros(tiles * 4, dtype=torch.int64)
    modality[: tiles * 2].view(-1, 4)[:, 2:] = 1  # the first half of the tiles has both
    masks, _ = drawn([4] * tiles, rates(), 0, modality)
    both, one = masks.strategy[: tiles // 2], masks.strategy[tiles // 2 :]
    assert float((both == MODALITY).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert not (one == MODALITY).any()
    # area falls back to random where it holds no token: at least the share that was drawn
    assert float((one == RANDOM).float().mean()) >= 0.25 - 0.03


def test_a_modality_mask_keeps_one_modality_as_context_and_has_one_target() -> None:
    chosen = rates(random=1e-12, area=1e-12, modality=1)
    modality = torch.tensor([0] * 6 + [1] * 14)
    kept = set()
    for seed in range(12):
        masks, _ = drawn([20], chosen, seed, modality)
        assert int(masks.strategy[0]) == MODALITY
        assert not masks.targets[1:].any()
        assert torch.equal(masks.targets[0], ~masks.context)
        context_kinds = set(modality[masks.context].tolist())
        assert len(context_kinds) == 1  # both are above the minimum of 3 tokens
        kept |= context_kinds
    assert kept == {0, 1}


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.dist(a, [0.0] * len(a)) / math.dist(b, [0.0] * len(b))


def test_a_kind_target_is_what_resembles_its_anchor_and_never_an_image_patch() -> None:
    rng = torch.Generator().manual_seed(3)
    lengths, targets = [12, 1, 0, 30], 3
    cu, tokens = cu_from_lengths(torch.tensor(lengths)), sum(lengths)
    content = torch.randn(tokens, 4, generator=rng)
    modality = (torch.rand(tokens, generator=rng) < 0.3).long()
    modality[12] = IMAGE  # a tile of one image patch has no anchor
    noise = torch.rand(targets, tokens, generator=rng, dtype=torch.float64)
    threshold = torch.rand(targets, len(lengths), generator=rng, dtype=torch.float64)
    found = kind_targets(content, modality == TAGS, segment_ids(cu), cu, noise, threshold)
    for target in range(targets):
        for tile, (start, end) in enumerate(zip(cu[:-1].tolist(), cu[1:].tolist(), strict=True)):
            entities = [t for t in range(start, end) if modality[t] == TAGS]
            expected: set[int] = set()
            if entities:
                anchor = min(entities, key=lambda t: float(noise[target, t]))
                least = float(threshold[target, tile])
                like = [t for t in entities if cosine(content[t].tolist(), content[anchor].tolist()) >= least]
                expected = {anchor, *like}
            assert set((start + found[target, start:end].nonzero().flatten()).tolist()) == expected


def test_kind_masks_hide_whole_kinds_and_leave_a_context() -> None:
    chosen = rates(random=0, area=0, modality=0, kind=1, kind_low=0.9, kind_context=0.0, num_targets=2)
    kinds = torch.nn.functional.one_hot(torch.arange(60) % 5).float()  # five kinds, nothing alike between them
    cu = torch.tensor([0, 30, 60])
    hidden = set()
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        box, modality = rectangles(60, rng), torch.zeros(60, dtype=torch.int64)
        masks = draw_masks(box, modality, cu, chosen, rng, kinds)
        assert masks.strategy.tolist() == [KIND, KIND]
        for tile in (slice(0, 30), slice(30, 60)):
            of_context = set(kinds[tile][masks.context[tile]].argmax(1).tolist())
            of_targets = set(kinds[tile][masks.targets.any(0)[tile]].argmax(1).tolist())
            assert of_context | of_targets == set(range(5))
            assert not of_context & of_targets
            assert 1 <= len(of_targets) <= 2
            hidden |= of_targets
    assert hidden == set(range(5))


def test_a_tile_of_one_kind_gets_a_random_mask() -> None:
    chosen = rates(random=0, area=0, modality=0, kind=1)
    rng = torch.Generator().manual_seed(0)
    same = torch.ones(20, 3)
    masks = draw_masks(
        rectangles(20, rng), torch.zeros(20, dtype=torch.int64), torch.tensor([0, 20]), chosen, rng, same
    )
    assert masks.strategy.tolist() == [RANDOM]
    assert masks.targets.any()


def test_kind_masks_come_as_often_as_asked_and_change_no_other_mask() -> None:
    tiles = 4000
    rng = torch.Generator().manual_seed(1)
    box, modality = rectangles(tiles * 6, rng), torch.zeros(tiles * 6, dtype=torch.int64)
    content, cu = torch.randn(tiles * 6, 8, generator=rng), torch.arange(0, tiles * 6 + 1, 6)
    chosen = rates(random=0.6, area=0.0, modality=0.5, kind=0.4, kind_low=0.9)
    masks = draw_masks(box, modality, cu, chosen, torch.Generator().manual_seed(2), content)
    assert float((masks.strategy == KIND).float().mean()) == pytest.approx(0.4, abs=0.03)
    only_random = draw_masks(box, modality, cu, ONLY_RANDOM, torch.Generator().manual_seed(2), content)
    random_tiles = (masks.strategy == RANDOM)[segment_ids(cu)]
    assert torch.equal(masks.targets[:, random_tiles], only_random.targets[:, random_tiles])


def test_masks_are_a_function_of_the_generator() -> None:
    first, second = (drawn([30, 5, 80], rates(), seed=5)[0] for _ in range(2))
    assert torch.equal(first.context, second.context)
    assert torch.equal(first.targets, second.targets)
    assert not torch.equal(first.targets, drawn([30, 5, 80], rates(), seed=6)[0].targets)


def test_indices_of_a_masked_batch_equal_a_loop() -> None:
    masks, cu = drawn([12, 3, 25, 1], rates(), seed=2)
    found = MaskIndices.of(masks, cu)
    context, targets, rows, sequences = [], [], [], [0]
    first_context = {}
    for tile in range(4):
        tokens = range(int(cu[tile]), int(cu[tile + 1]))
        first_context[tile] = len(context)
        context += [t for t in tokens if masks.context[t]]
    for target in range(4):
        for tile in range(4):
            tokens = range(int(cu[tile]), int(cu[tile + 1]))
            hidden = [t for t in tokens if masks.targets[target, t]]
            known = [t for t in tokens if masks.context[t]] if hidden else []
            rows += [first_context[tile] + i for i in range(len(known))] + [len(context) + t for t in hidden]
            sequences.append(len(rows))
            targets += hidden
    assert found.context_index.tolist() == context
    assert found.target_index.tolist() == targets
    separate = PredictorInput.separate(found)
    assert separate.index.tolist() == rows
    assert separate.layout.cu_seqlens.tolist() == sequences  # type: ignore[union-attr]
    assert [rows[i] - len(context) for i in separate.predicted_at.tolist()] == targets
