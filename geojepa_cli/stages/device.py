"""Selection of the device that models run on: CPU or CUDA."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def check_device(name: str) -> None:
    """Checks the name of a device without importing torch.

    Raises:
        UsageError: the name is not `auto`, `cpu` or `cuda`.
    """
    if name not in DEVICES:
        raise UsageError(f"unknown device `{name}`: expected {', '.join(DEVICES)}", hints.again(device="auto"))


def pick_device(name: str) -> str:
    """Returns the device with the given name. `auto` is `cuda` if a CUDA device is available, otherwise `cpu`.

    Raises:
        UsageError: the name is unknown, or the name is `cuda` and there is no CUDA device.
    """
    import torch

    check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("PyTorch finds no CUDA device on this computer", hints.again(device="cpu"))
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
