"""Selection of the device that models run on."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def check_device(name: str) -> None:
    """Checks the name of a device without importing torch.

    Raises:
        UsageError: the name is not in `DEVICES`.
    """
    if name not in DEVICES:
        raise UsageError(f"unknown device `{name}`: expected {', '.join(DEVICES)}", hints.again(device="auto"))


def pick_device(name: str) -> str:
    """Returns `cpu` or `cuda`. For `auto`, returns `cuda` if a CUDA device is available.

    Raises:
        UsageError: the name is unknown, or there is no CUDA device.
    """
    import torch

    check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no CUDA device", hints.again(device="cpu"))
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
