"""Network of the image encoder `geoembed`: a ResNet-18 for aerial images, whose weights come with the package geoembed.

The package runs the network with OpenCL. Here, it runs with PyTorch, and only the weights of the package are used. The
package is not imported. Source: `TileEncoderV3` in geoembed 1.1.2 (MIT), after He et al. (2016). Unlike the ResNet-18
of the paper, the first convolution has 3 × 3 weights and stride 1, and no pooling follows it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.errors import MissingExtraError, NotFoundError
from geojepa_cli.hints import Hint

INSTALL = hints.shell("pip", "install", "geojepa[aerial]")
REINSTALL = hints.shell("pip", "install", "--force-reinstall", "geoembed==1.1.2")
POOLED = 4  # cells of the feature map that are averaged along one side, as before the package's last layer
PREFIX = "bb."  # of the names of the weights in the package's file
_WEIGHTS = Path("weights") / "v3.npz"
_CHANNELS, _STRIDES = (64, 128, 256, 512), (1, 2, 2, 2)


class _Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.short = nn.Sequential()
        if stride != 1 or channels != out_channels:
            self.short.extend([nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)])

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(hidden + self.short(x))


class GeoEmbedNetwork(nn.Module):
    """ResNet-18 without its last linear layer. The names of its weights are those in the package's file."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, _CHANNELS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(_CHANNELS[0]))
        before = _CHANNELS[0]
        for number, (channels, stride) in enumerate(zip(_CHANNELS, _STRIDES, strict=True), 1):
            blocks = nn.Sequential(_Block(before, channels, stride), _Block(channels, channels, 1))
            self.add_module(f"layer{number}", blocks)
            before = channels

    def forward(self, x: Tensor) -> Tensor:
        """Returns the last feature map, averaged over 4 × 4 cells.

        Args:
            x: images with values from −1 to 1, whose sides are multiples of 32. float32 [N, 3, H, W]

        Returns:
            float32 [N, 512, H / 32, W / 32]
        """
        x = F.relu(self.stem(x))
        for number in range(1, len(_CHANNELS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return F.avg_pool2d(x, POOLED)


def packaged_weights(from_file: Hint) -> Path:
    """Returns the path of the weights in the installed package geoembed.

    Args:
        from_file: hint with the command that loads weights from a file instead. Error messages suggest this command.

    Raises:
        MissingExtraError: the package is not installed.
        NotFoundError: the installed version of the package has no such weights.
    """
    found = importlib.util.find_spec("geoembed")
    if found is None or found.origin is None:
        message = "the image encoder `geoembed` needs the package geoembed, which is not installed"
        raise MissingExtraError(message, INSTALL.or_else(from_file))
    path = Path(found.origin).parent / _WEIGHTS
    if not path.is_file():
        raise NotFoundError(f"the package geoembed has no weights `{path}`", REINSTALL.or_else(from_file))
    return path
