"""Reads safetensors files and replaces them atomically."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geojepa_cli.errors import DataError
from geojepa_cli.workspace.durable import fsync


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors to a temporary safetensors file, flushes the file to the disk, and renames it to `path`."""
    partial = path.with_name(path.name + ".writing")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata=metadata)
    fsync(partial)
    partial.replace(path)
    fsync(path.parent)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads the tensors and metadata of a safetensors file.

    Raises:
        DataError: the file is missing or is not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"`{path}` cannot be read: {error}") from error
