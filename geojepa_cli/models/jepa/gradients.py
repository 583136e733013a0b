"""Share of each modality in the norm of the gradient, for the training log."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from geojepa_cli.nn.losses.prediction import members
from geojepa_cli.nn.tokens.fusion import EntityFusion


def watch_gradients(content: Tensor, modality: Tensor, modalities: Mapping[str, int]) -> dict[str, Tensor]:
    """Measures the gradient of the context encoder's input in the next backward pass, for each modality.

    The norm of a modality is the Euclidean norm of the gradients of all its tokens together. A modality's share is its
    norm divided by the sum of the norms. The backward pass writes the shares to the returned tensors, without
    waiting for a GPU. So the values are valid after the backward pass, and 0 before.

    Args:
        content: input of the context encoder: content plus positional encoding of each visible token. Its gradient
            equals that of the tokenizer's output. [C, D]
        modality: modality id of each visible token. int64 [C]
        modalities: name and id of each modality that the model reads.
    Returns:
        Dict of scalars: `grad_share_<name>` for each modality. Empty if the model reads one modality only, or if no
        weights of the tokenizer are trained.
    """
    if len(modalities) < 2 or not content.requires_grad:
        return {}
    numbers = 1 + max(modalities.values())
    shares = torch.zeros(numbers, device=content.device)

    def measure(gradient: Tensor) -> None:
        squared = gradient.detach().float().square().sum(1)
        norms = (members(modality, numbers, squared.dtype) @ squared).sqrt()
        shares.copy_(norms / norms.sum().clamp_min(1e-30))

    content.register_hook(measure)
    return {f"grad_share_{name}": shares[number] for name, number in modalities.items()}


def watch_fusion(fusion: EntityFusion, device: torch.device) -> dict[str, Tensor]:
    """Measures the gradients of tags and of geometry where they are fused, in every backward pass from now on.

    Tags and geometry of an entity are one token, so `watch_gradients` cannot tell them apart. The two halves of the
    input of the MLP that fuses them can. The path of the tags past the MLP (`model.fusion: residual`) does not count.

    Args:
        fusion: module of the context encoder.
        device: device of the model.

    Returns:
        Dict of scalars: `grad_share_fused_tags` and `grad_share_fused_geometry`, which every backward pass overwrites.
        They are 0 before the first one.
    """
    shares = torch.zeros(2, device=device)

    def measure(gradient: Tensor) -> None:
        norms = torch.stack([half.norm() for half in gradient.detach().float().chunk(2, dim=1)])
        shares.copy_(norms / norms.sum().clamp_min(1e-30))

    def before(module: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].requires_grad:
            inputs[0].register_hook(measure)

    fusion.mlp.register_forward_pre_hook(before)
    return {"grad_share_fused_tags": shares[0], "grad_share_fused_geometry": shares[1]}
