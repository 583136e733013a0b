"""Networks with the parts that `ImageEncoder` runs and the widths of torchvision's, in a size for tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from geojepa_cli.models import image_networks, image_weights
from geojepa_cli.models.image_weights import torchvision_models
from geojepa_cli.workspace.durable import file_sha256


class TinyResNet(nn.Module):
    """One convolution, normalisation, and a projection to 2048 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 4, 4, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(), nn.AvgPool2d(4)
        self.layer1 = self.layer2 = self.layer3 = nn.Identity()
        self.layer4 = nn.Conv2d(8, 2048, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.maxpool(self.relu(self.bn1(self.conv1(x)))))


def tiny_network(encoder: str, side_px: int = 224) -> nn.Module:
    """A network in place of the one that `empty_network` returns."""
    if encoder == "resnet50":
        return TinyResNet()
    if encoder == "efficientnet_b0":
        network = nn.Module()
        network.features = nn.Sequential(nn.AvgPool2d(16), nn.Conv2d(3, 1280, 1))
        return network
    vit: nn.Module = torchvision_models().VisionTransformer(side_px, 16, 1, 4, 768, 8)
    vit.heads = nn.Identity()
    return vit


def use_tiny_networks(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Makes encoders of torchvision tiny, with weights in a cache."""
    cache.mkdir()
    found = {}
    for encoder in ("vit_b_16", "resnet50", "efficientnet_b0"):
        path = cache / encoder
        torch.save(tiny_network(encoder).state_dict(), path)
        found[encoder] = path.rename(cache / f"{encoder}-{file_sha256(path)[:8]}.pth")
    patch.setattr(image_networks, "empty_network", tiny_network)
    patch.setattr(image_weights, "cached_weights", found.__getitem__)
