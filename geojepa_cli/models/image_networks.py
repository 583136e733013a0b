"""Networks of image encoders without their last layers: builds them, and loads their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geojepa_cli.config.images import GEOEMBED, RANDOM, SCALEMAE
from geojepa_cli.errors import DataError
from geojepa_cli.models.geoembed import PREFIX, GeoEmbedNetwork
from geojepa_cli.models.image_weights import other_file, read_state, torchvision_models
from geojepa_cli.models.scalemae import ScaleMaeNetwork, encoder_weights
from geojepa_cli.store.image_form import SIZE_PX
from geojepa_cli.store.image_tokens import ImageTokenKind

CALIBRATION_IMAGES = 8  # of noise, for the statistics of a network with random weights
LISTED = 5  # names of weights in a message
_HEADS = {"vit_b_16": "heads", "resnet50": "fc", "efficientnet_b0": "classifier"}  # classifiers, which are not used


def load_image_network(kind: ImageTokenKind, weights: Path | None, side_px: int = SIZE_PX) -> nn.Module:
    """Loads the network of an image encoder, without its last layer.

    Args:
        kind: name of the encoder, and version of its weights.
        weights: safetensors file, NumPy archive, or state dict that was saved by torch. The weights of the last layer
            are ignored. None for random weights, which are always the same.
        side_px: side of the images to read. For a vision transformer of torchvision, the position embeddings are
            resized if it differs from 224.

    Raises:
        DataError: the file is damaged, or has the weights of another network.
        MissingExtraError: torchvision is not installed.
    """
    if weights is None:
        if kind.version != RANDOM:
            raise ValueError(f"weights of {kind} are missing")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = empty_network(kind.encoder, side_px)
            _set_statistics(network, torch.randn(CALIBRATION_IMAGES, 3, SIZE_PX, SIZE_PX))
        return network
    state = _without_head(read_state(weights), kind.encoder)
    network = empty_network(kind.encoder, side_px)
    if kind.encoder == "vit_b_16" and side_px != SIZE_PX:
        state = _resize_positions(state, network)
    _check_state(network, state, kind.encoder, weights)
    network.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in state.items()})
    return network


def empty_network(encoder: str, side_px: int = SIZE_PX) -> nn.Module:
    """Returns a network without its last layer, with weights that are still to be loaded."""
    if encoder == GEOEMBED:
        return GeoEmbedNetwork()
    if encoder == SCALEMAE:
        return ScaleMaeNetwork()
    size = {"image_size": side_px} if encoder == "vit_b_16" else {}
    network: nn.Module = torchvision_models().get_model(encoder, weights=None, **size)
    setattr(network, _HEADS[encoder], nn.Identity())
    return network


def _without_head(state: Mapping[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Returns the weights of a network without those of its last layer."""
    if encoder == GEOEMBED:
        kept = {name.removeprefix(PREFIX): x for name, x in state.items() if name.startswith(PREFIX)}
        steps = {name: torch.tensor(0) for name in GeoEmbedNetwork().state_dict() if name.endswith("batches_tracked")}
        return steps | kept  # the package does not store these counters, which have no effect
    if encoder == SCALEMAE:
        return encoder_weights(state)
    return {name: x for name, x in state.items() if not name.startswith(f"{_HEADS[encoder]}.")}


def _check_state(network: nn.Module, state: Mapping[str, Tensor], encoder: str, weights: Path) -> None:
    """Compares the names and shapes of weights with those of a network.

    Raises:
        DataError: weights are missing, unknown, or of another shape. The message names them.
    """
    expected = network.state_dict()
    faults = [
        _listed("missing", [name for name in expected if name not in state], len(expected)),
        _listed("unknown", [name for name in state if name not in expected], len(state)),
    ]
    for name, x in expected.items():
        if name in state and state[name].shape != x.shape:
            faults.append(f"`{name}` has the shape {list(state[name].shape)}, expected {list(x.shape)}")
            break
    if any(faults):
        found = "; ".join(filter(None, faults))
        raise DataError(f"`{weights}` has no weights of the image encoder `{encoder}`: {found}", other_file(weights))


def _listed(fault: str, names: list[str], of: int) -> str:
    if not names:
        return ""
    more = f" and {len(names) - LISTED} more (of {of})" if len(names) > LISTED else ""
    return f"{fault} {', '.join(f'`{name}`' for name in names[:LISTED])}{more}"


def _resize_positions(state: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Returns the weights of a vision transformer with position embeddings for the image size of a network."""
    if "encoder.pos_embedding" not in state:
        return state
    resized = torchvision_models().vision_transformer.interpolate_embeddings
    return dict(resized(network.image_size, network.patch_size, dict(state)))


@torch.no_grad()
def _set_statistics(network: nn.Module, images: Tensor) -> None:
    """Sets the statistics of batch normalisation to those of some images. Changes nothing in other networks.

    Otherwise, a deep network with random weights would return values near zero.
    """
    norms = [module for module in network.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # keep nothing of the initial statistics
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the number of threads would change the rounding
    if norms:
        network(images)
    torch.set_num_threads(before)
    network.eval()
