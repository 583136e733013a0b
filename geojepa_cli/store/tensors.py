"""Reads safetensors files and replaces them atomically. Also reads NumPy archives (`.npz`)."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geojepa_cli.errors import DataError
from geojepa_cli.workspace.durable import fsync

MAX_ARCHIVE_BYTES = 1 << 30
# RuntimeError: an encrypted member, or an unknown compression. MemoryError: the shape in an array's header is too big.
# SyntaxError, TokenError: an array's header is no Python literal.
_DAMAGED_ARRAY = (ValueError, TypeError, RuntimeError, MemoryError, SyntaxError, tokenize.TokenError)
_DAMAGED_ARCHIVE = (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


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


def read_archive(path: Path) -> dict[str, Tensor]:
    """Reads the arrays of a NumPy archive. Runs no code from the file.

    Raises:
        DataError: the file is missing or damaged, contains objects, or unpacks to more than `MAX_ARCHIVE_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_ARCHIVE_BYTES:
            raise DataError(f"`{path}` unpacks to {size:,} bytes, expected at most {MAX_ARCHIVE_BYTES:,}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}
    except (*_DAMAGED_ARRAY, *_DAMAGED_ARCHIVE) as error:
        raise DataError(f"`{path}` is not a NumPy archive of numbers: {error}") from error
