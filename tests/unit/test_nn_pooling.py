"""Pooling of tokens to tile vectors, against loops over tiles."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from geojepa_cli.nn.packing import cu_from_lengths
from geojepa_cli.nn.pooling import AttentionPooling, build_pooling

LENGTHS = [3, 0, 7, 1]
CU = cu_from_lengths(torch.tensor(LENGTHS))
X = torch.randn(11, 8, generator=torch.Generator().manual_seed(0))
TILES = [X[a:b] for a, b in pairwise(CU.tolist())]


@pytest.mark.parametrize("kind", ["max_mean", "counts", "sum"])
def test_the_vector_has_maximum_mean_and_the_configured_third_part(kind: str) -> None:
    pooling = build_pooling(kind, 8, 2)
    found = pooling(X, CU)
    assert found.shape == (4, pooling.width)
    for tile, vector in zip(TILES, found, strict=True):
        n = len(tile)
        if n == 0:
            assert torch.equal(vector, torch.zeros(pooling.width))
            continue
        mean = tile.sum(0) / n
        third = {"max_mean": [], "counts": [mean * math.log(n)], "sum": [tile.sum(0)]}[kind]
        torch.testing.assert_close(vector, torch.cat([tile.max(0).values, mean, *third]))


def test_attention_weights_the_tokens_of_each_tile_by_the_query() -> None:
    pooling = AttentionPooling(8, 2)
    torch.nn.init.normal_(pooling.query, generator=torch.Generator().manual_seed(1))
    found = pooling(X, CU)
    for tile, vector in zip(TILES, found, strict=True):
        expected = torch.zeros(8)
        for head in (slice(0, 4), slice(4, 8)):
            scores = [(pooling.key(token)[head] @ pooling.query[head]).item() / 2.0 for token in tile]
            total = sum(map(math.exp, scores))
            for token, score in zip(tile, scores, strict=True):
                expected[head] += math.exp(score) / total * pooling.value(token)[head]
        torch.testing.assert_close(vector, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["max_mean", "counts", "sum", "attention"])
def test_a_tile_is_pooled_as_if_it_were_alone_and_gradients_are_finite(kind: str) -> None:
    pooling, x = build_pooling(kind, 8, 2), X.clone().requires_grad_()
    found = pooling(x, CU)
    for tile, vector in zip(TILES, found, strict=True):
        alone = pooling(tile, torch.tensor([0, len(tile)]))
        torch.testing.assert_close(alone[0], vector, atol=1e-6, rtol=1e-6)
    found.square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() and bool(p.grad.any()) for p in pooling.parameters() if p.ndim)
