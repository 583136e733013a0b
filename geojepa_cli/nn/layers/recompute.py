"""Linear layers that compute their input again in the backward pass, to store less during training.

Each linear layer comes after a cheap function: GELU or layer normalisation. Autograd would store the result of this
function for the backward pass. Here, the backward pass computes the result again, which takes little time compared with
the matrix products (Chen et al. 2016).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5  # of layer normalisation, as in `nn.LayerNorm`


class _GeluLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        hidden = F.gelu(x).to(grad.dtype)
        from_hidden = (grad @ weight.to(grad.dtype)).to(x.dtype)
        return torch.ops.aten.gelu_backward(from_hidden, x), *_weight_gradients(grad, hidden, weight)


class _NormLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        normed, mean, scale = torch.native_layer_norm(x, x.shape[-1:], norm_weight, norm_bias, EPS)
        ctx.save_for_backward(x, mean, scale, norm_weight, norm_bias, weight)
        return F.linear(normed, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x, mean, scale, norm_weight, norm_bias, weight = ctx.saved_tensors
        grad = grads[0]
        normed = torch.addcmul(norm_bias, (x - mean) * scale, norm_weight).to(grad.dtype)
        from_normed = (grad @ weight.to(grad.dtype)).to(x.dtype)
        needed = [True, True, True]
        of_norm = torch.ops.aten.native_layer_norm_backward(
            from_normed, x, x.shape[-1:], mean, scale, norm_weight, norm_bias, needed
        )
        return *of_norm, *_weight_gradients(grad, normed, weight)


def gelu_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Applies GELU and then a linear layer to `x`. Stores only `x` for the backward pass.

    Args:
        x: packed vectors. [T, H]
        weight, bias: parameters of the linear layer. [D, H], [D]
    Returns:
        Result. [T, D]
    """
    if torch.compiler.is_compiling():  # the compiler itself decides what to compute again
        return F.linear(F.gelu(x), weight, bias)
    result: Tensor = _GeluLinear.apply(x, weight, bias)
    return result


def norm_linear(x: Tensor, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Applies a layer normalisation and then a linear layer to `x`. Stores only `x` for the backward pass.

    Args:
        x: packed vectors. [T, D]
        norm_weight, norm_bias: parameters of the layer normalisation. [D]
        weight, bias: parameters of the linear layer. [H, D], [H]
    Returns:
        Result. [T, H]
    """
    if torch.compiler.is_compiling():
        return F.linear(F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, EPS), weight, bias)
    result: Tensor = _NormLinear.apply(x, norm_weight, norm_bias, weight, bias)
    return result


def _weight_gradients(grad: Tensor, inputs: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return (grad.t() @ inputs).to(weight.dtype), grad.sum(0).to(weight.dtype)
