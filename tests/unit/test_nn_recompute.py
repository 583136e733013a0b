"""Linear layers that compute their input again: same values and gradients as the plain layers, fewer stored tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.layers.recompute import gelu_linear, norm_linear

T, D, H = 37, 12, 20
LAYERS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "gelu": (gelu_linear, lambda x, w, b: F.linear(F.gelu(x), w, b), [(T, D), (H, D), (H,)]),
    "norm": (
        norm_linear,
        lambda x, nw, nb, w, b: F.linear(F.layer_norm(x, (D,), nw, nb), w, b),
        [(T, D), (D,), (D,), (H, D), (H,)],
    ),
}


def inputs(shapes: list[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=rng, dtype=dtype).requires_grad_() for shape in shapes]


def values_and_gradients(layer: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    found = layer(*tensors)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(4)).to(found.dtype)
    return [found, *torch.autograd.grad((found * weights).sum(), tensors)]


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_the_plain_layer(name: str) -> None:
    layer, plain, shapes = LAYERS[name]
    tensors = inputs(shapes)
    for found, expected in zip(values_and_gradients(layer, tensors), values_and_gradients(plain, tensors), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    layer, _, shapes = LAYERS[name]
    assert torch.autograd.gradcheck(layer, inputs(shapes, torch.float64))


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_gives_the_values_and_gradients_of_the_plain_layer(name: str) -> None:
    layer, plain, shapes = LAYERS[name]
    tensors = inputs(shapes)

    def run(chosen: Callable[..., Tensor]) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            found = chosen(*tensors)
        assert found.dtype == torch.bfloat16
        return [found, *torch.autograd.grad(found.float().square().sum(), tensors)]

    for found, expected in zip(run(layer), run(plain), strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, atol=0.05 * float(expected.abs().max()), rtol=0.05)


@pytest.mark.parametrize("name", LAYERS)
def test_the_result_of_the_cheap_function_is_not_stored(name: str) -> None:
    layer, plain, shapes = LAYERS[name]

    def stored(chosen: Callable[..., Tensor]) -> int:
        count = 0

        def pack(x: Tensor) -> Tensor:
            nonlocal count
            count += x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            chosen(*inputs(shapes))
        return count

    assert stored(layer) <= stored(plain) - T * D + len(shapes) * D
