"""Frozen image encoders of torchvision and of the package geoembed, and the image tokens of a region.

Sources: ViT (Dosovitskiy et al. 2021), ResNet (He et al. 2016), EfficientNet (Tan and Le 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.config.images import GEOEMBED, RANDOM
from geojepa_cli.console import Meter
from geojepa_cli.errors import DataError
from geojepa_cli.models.encode_ahead import encode_ahead
from geojepa_cli.models.geoembed import PREFIX, GeoEmbedNetwork
from geojepa_cli.models.image_weights import other_file, read_state, torchvision_models
from geojepa_cli.store.image_form import SIZE_PX
from geojepa_cli.store.image_tokens import ImageTokenKind, write_image_tokens
from geojepa_cli.store.images import ImageStore

# Images that are encoded together. The number changes the rounding of tokens: when changing it, also increase the
# version of the stage.
MAX_IMAGES = 16
CALIBRATION_IMAGES = 8  # of noise, for the statistics of a network with random weights
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for the encoders of torchvision
GREY = (0.5, 0.5, 0.5)  # mean and standard deviation for geoembed
_AT_ONCE = {GEOEMBED: 4}  # images in memory at a time, where fewer than `MAX_IMAGES`: its feature maps are large
_HEADS = {"vit_b_16": "heads", "resnet50": "fc", "efficientnet_b0": "classifier"}  # classifiers, which are not used


class FrozenImageEncoder(nn.Module):
    """Image encoder without its last layer. Its weights are never trained.

    The tokens of a vision transformer are the normalised output of its last layer, class token first. The tokens of a
    convolutional network are the cells of its last feature map, row by row from the north-west corner.

    Args:
        network: network of torchvision, or of geoembed.
        kind: name of the network, and version of its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, kind: ImageTokenKind) -> None:
        super().__init__()
        self.kind = kind
        self.network = network.eval().requires_grad_(False)
        mean, std = (GREY, GREY) if kind.encoder == GEOEMBED else (MEAN, STD)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Computes the tokens of images. At most `MAX_IMAGES` images are processed at a time.

        Args:
            images: images with red, green and blue bands. uint8 [N, 3, 224, 224]
            hidden: True for each cell of the token grid whose pixels are replaced by the mean colour, row
                by row from the north-west corner. None: no cell is hidden. bool [N, grid²]
        Returns:
            Tokens of each image. float32 [N, P, C]
        """
        form = self.kind.form
        tokens = self.mean.new_empty(len(images), form.tokens, form.dim)
        step = _AT_ONCE.get(self.kind.encoder, MAX_IMAGES)
        for first in range(0, len(images), step):
            part = slice(first, first + step)
            x = (images[part].to(self.mean.dtype) / 255 - self.mean) / self.std
            if hidden is not None:
                cells = hidden[part].view(-1, 1, form.grid, form.grid).to(x.dtype)
                x = x.masked_fill(F.interpolate(cells, x.shape[-2:], mode="nearest") > 0, 0.0)
            tokens[part] = self._tokens(x)
        return tokens

    def _tokens(self, x: Tensor) -> Tensor:
        network: Any = self.network
        if self.kind.encoder == "vit_b_16":
            patches = network._process_input(x)
            return network.encoder(torch.cat([network.class_token.expand(len(x), -1, -1), patches], dim=1))
        if self.kind.encoder == "resnet50":
            x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
            cells = network.layer4(network.layer3(network.layer2(network.layer1(x))))
        elif self.kind.encoder == GEOEMBED:
            cells = network(x)
        else:
            cells = network.features(x)
        return cells.flatten(2).transpose(1, 2)


def load_image_encoder(kind: ImageTokenKind, weights: Path | None) -> FrozenImageEncoder:
    """Loads a frozen image encoder.

    Args:
        kind: name of the encoder, and version of its weights.
        weights: safetensors file, NumPy archive, or state dict that was saved by torch. The weights of the last layer
            are ignored. None for random weights, which are always the same.

    Raises:
        DataError: the file is damaged, or has the weights of another network.
        MissingExtraError: torchvision is not installed.
    """
    if weights is None:
        if kind.version != RANDOM:
            raise ValueError(f"weights of {kind} are missing")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _empty_network(kind.encoder)
            _set_statistics(network, torch.randn(CALIBRATION_IMAGES, 3, SIZE_PX, SIZE_PX))
        return FrozenImageEncoder(network, kind)
    state, network = _without_head(read_state(weights), kind.encoder), _empty_network(kind.encoder)
    try:
        network.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in state.items()})
    except RuntimeError as error:
        first = " ".join(str(error).split()[:24])
        message = f"`{weights}` has no weights of the image encoder `{kind.encoder}`: {first}"
        raise DataError(message, other_file()) from error
    return FrozenImageEncoder(network, kind)


def _empty_network(encoder: str) -> nn.Module:
    """Returns a network without its last layer, with weights that are still to be loaded."""
    if encoder == GEOEMBED:
        return GeoEmbedNetwork()
    network: nn.Module = torchvision_models().get_model(encoder, weights=None)
    setattr(network, _HEADS[encoder], nn.Identity())
    return network


def _without_head(state: Mapping[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Returns the weights of a network without those of its last layer."""
    if encoder == GEOEMBED:
        kept = {name.removeprefix(PREFIX): x for name, x in state.items() if name.startswith(PREFIX)}
        steps = {name: torch.tensor(0) for name in GeoEmbedNetwork().state_dict() if name.endswith("batches_tracked")}
        return steps | kept  # the package does not store these counters, which have no effect
    return {name: x for name, x in state.items() if not name.startswith(f"{_HEADS[encoder]}.")}


def write_region_tokens(
    images: Path,
    target: Path,
    encoder: FrozenImageEncoder,
    threads: int = 1,
    meter: Meter | None = None,
) -> dict[str, int]:
    """Computes the tokens of all images of a region, and writes them to `image_tokens.h5`.

    A few batches are in memory at a time. On a CPU, each batch is computed by one thread, so the number of threads does
    not change the tokens. A GPU rounds differently.

    Args:
        images: path of the region's `images.h5`.
        target: path of the `image_tokens.h5` to write.
        encoder: frozen image encoder, on the device to compute on.
        threads: number of batches to compute at the same time on a CPU.
        meter: progress display, which counts images.

    Returns:
        Counts by name: `images` and `tokens`.

    Raises:
        DataError: an image cannot be decoded, or a token has a value that float16 cannot represent.
    """
    store = ImageStore(images)
    write_image_tokens(target, len(store), encoder.kind, _encode(store, encoder, threads, meter))
    return {"images": len(store), "tokens": len(store) * encoder.kind.form.tokens}


def _encode(
    store: ImageStore, encoder: FrozenImageEncoder, threads: int, meter: Meter | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Returns an iterator over the tokens of consecutive images."""
    device = encoder.mean.device
    workers = threads if device.type == "cpu" else 1

    def encode(first: int) -> npt.NDArray[np.float32]:
        pixels = store.image.take(np.arange(first, min(first + MAX_IMAGES, len(store))), axis=0)
        with torch.inference_mode():
            return encoder(torch.from_numpy(pixels).to(device)).cpu().numpy()

    return encode_ahead(range(0, len(store), MAX_IMAGES), encode, workers, "encode-images", meter)


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
