"""Image encoders of torchvision, ScaleMAE and geoembed, and the tokens of a region's images, by a frozen encoder.

Sources: ViT (Dosovitskiy et al. 2021), ResNet (He et al. 2016), EfficientNet (Tan and Le 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.config.images import GEOEMBED, SCALEMAE, TokenForm
from geojepa_cli.console import Meter
from geojepa_cli.models.encode_ahead import encode_ahead
from geojepa_cli.models.image_networks import load_image_network
from geojepa_cli.models.scalemae import metres_per_px
from geojepa_cli.store.image_tokens import ImageTokenKind, write_image_tokens
from geojepa_cli.store.images import ImageStore

# Images that are encoded together. The number changes the rounding of tokens: when changing it, also increase the
# version of the stage.
MAX_IMAGES = 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for the encoders of torchvision
GREY = (0.5, 0.5, 0.5)  # mean and standard deviation for geoembed
_AT_ONCE = {GEOEMBED: 4}  # images in memory at a time, where fewer than `MAX_IMAGES`: its feature maps are large


class ImageEncoder(nn.Module):
    """Image encoder without its last layer.

    The tokens of a vision transformer are the normalised output of its last layer, class token first. The tokens of a
    convolutional network are the cells of its last feature map, row by row from the north-west corner.

    Args:
        network: network of `load_image_network`.
        kind: name of the network, and version of its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, kind: ImageTokenKind) -> None:
        super().__init__()
        self.kind = kind
        self.network = network.eval()
        mean, std = (GREY, GREY) if kind.encoder == GEOEMBED else (MEAN, STD)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Subtracts the mean colour and divides by the standard deviation. uint8 [N, 3, H, W] -> float [N, 3, H, W]"""
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std

    def tokens(self, x: Tensor, resolution: Tensor | None = None) -> Tensor:
        """Computes the tokens of normalised images.

        Args:
            x: normalised images. [N, 3, H, W]
            resolution: see `resolution`. [N]
        Returns:
            Tokens of each image. [N, P, C]
        """
        return self._tokens(x) if resolution is None else self.network(x, resolution)

    def resolution(self, zxy: Tensor) -> Tensor | None:
        """Returns the ground resolution of the images of tiles in metres per pixel, if tokens depend on it. float32 [N]

        Args:
            zxy: zoom, column and row of each tile. int64 [N, 3]
        """
        return metres_per_px(zxy).to(self.mean.device) if self.kind.encoder == SCALEMAE else None

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


def pool(tokens: Tensor, form: TokenForm) -> Tensor:
    """Pools the tokens of images to the vectors that the published classifiers read. [N, P, C] -> [N, C]

    They are the token of the whole image or, if there is none, the mean over the cells.
    """
    return tokens[:, 0] if form.whole else tokens.mean(1)


class FrozenImageEncoder(ImageEncoder):
    """Image encoder whose weights are never trained."""

    def __init__(self, network: nn.Module, kind: ImageTokenKind) -> None:
        super().__init__(network, kind)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor, hidden: Tensor | None = None, resolution: Tensor | None = None) -> Tensor:
        """Computes the tokens of images. At most `MAX_IMAGES` images are processed at a time.

        Args:
            images: images with red, green and blue bands. uint8 [N, 3, 224, 224]
            hidden: True for each cell of the token grid whose pixels are replaced by the mean colour, row
                by row from the north-west corner. None: no cell is hidden. bool [N, grid²]
            resolution: see `resolution`. [N]
        Returns:
            Tokens of each image. float32 [N, P, C]
        """
        form = self.kind.form
        tokens = self.mean.new_empty(len(images), form.tokens, form.dim)
        step = _AT_ONCE.get(self.kind.encoder, MAX_IMAGES)
        for first in range(0, len(images), step):
            part = slice(first, first + step)
            x = self.normalise(images[part])
            if hidden is not None:
                cells = hidden[part].view(-1, 1, form.grid, form.grid).to(x.dtype)
                x = x.masked_fill(F.interpolate(cells, x.shape[-2:], mode="nearest") > 0, 0.0)
            tokens[part] = self.tokens(x, None if resolution is None else resolution[part])
        return tokens


def load_image_encoder(kind: ImageTokenKind, weights: Path | None) -> FrozenImageEncoder:
    """Loads a frozen image encoder. See `load_image_network` for arguments and errors."""
    return FrozenImageEncoder(load_image_network(kind, weights), kind)


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
        rows = np.arange(first, min(first + MAX_IMAGES, len(store)))
        pixels = torch.from_numpy(store.image.take(rows, axis=0)).to(device)
        resolution = encoder.resolution(torch.from_numpy(store.zxy[rows]))
        with torch.inference_mode():
            return encoder(pixels, resolution=resolution).cpu().numpy()

    return encode_ahead(range(0, len(store), MAX_IMAGES), encode, workers, "encode-images", meter)
