"""Weights of frozen image encoders: finds them in a file, torchvision's cache or a package, and reads them safely."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.config.images import GEOEMBED, SCALEMAE, TORCHVISION
from geojepa_cli.config.names import checksum_version
from geojepa_cli.errors import DataError, MissingExtraError, NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.models.geoembed import INSTALL, packaged_weights
from geojepa_cli.store.tensors import read_archive, read_tensors
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops
from geojepa_cli.workspace.durable import file_sha256

SAFETENSORS, ARCHIVE = ".safetensors", ".npz"
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, AttributeError, UnpicklingError)


def weights_version(encoder: str, weights: Path, from_file: Hint) -> str:
    """Returns the version of a file with weights: `sha256-` and the first digits of its checksum.

    The name of a file in torchvision's cache ends with the first digits of its checksum, which are compared.

    Args:
        encoder: name of the image encoder.
        weights: path of the file.
        from_file: command that uses weights from a file.

    Raises:
        NotFoundError: the file does not exist.
        DataError: the checksum of a file in torchvision's cache is wrong.
    """
    if not weights.is_file():
        message = f"the weights `{weights}` of the image encoder `{encoder}` do not exist"
        raise NotFoundError(message, _obtain(encoder, from_file))
    digest = file_sha256(weights)
    if (
        encoder in TORCHVISION
        and weights == cached_weights(encoder)
        and not digest.startswith(weights.stem.rpartition("-")[2])
    ):
        message = f"`{weights}` is damaged: the digits in its name are not those of its SHA-256 checksum"
        raise DataError(message, _obtain(encoder, from_file).after(hints.shell("rm", str(weights))))
    return checksum_version(digest)


def find_weights(encoder: str, from_file: Hint) -> Path:
    """Returns the path of the weights of an image encoder in torchvision's cache, or in the package geoembed.

    Args:
        encoder: name of the image encoder.
        from_file: command that uses weights from a file.

    Raises:
        NotFoundError: the cache, or the package, does not contain them. The hint has two commands: one downloads
            the weights or installs the package again, the other is `from_file`.
        MissingExtraError: torchvision, or the package geoembed, is not installed.
    """
    if encoder == GEOEMBED:
        return packaged_weights(from_file)
    if encoder == SCALEMAE:
        raise NotFoundError(f"there are no weights of the image encoder `{encoder}`: expected a file", from_file)
    path = cached_weights(encoder)
    if not path.is_file():
        message = f"there are no weights of the image encoder `{encoder}`: expected `{path}`, or a file"
        raise NotFoundError(f"{message} in `--image-weights` or `model.image_weights`", _obtain(encoder, from_file))
    return path


def cached_weights(encoder: str) -> Path:
    """Returns the path at which torchvision stores the default weights of an image encoder when it downloads them.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / weights_url(encoder).rpartition("/")[2]


def weights_url(encoder: str) -> str:
    """Returns the URL of the default weights of an image encoder of torchvision.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    return str(torchvision_models().get_model_weights(encoder).DEFAULT.url)


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads tensors by name from a file. Runs no code from the file.

    Raises:
        DataError: the file is missing or damaged, or contains something else.
    """
    if path.suffix == SAFETENSORS:
        return read_tensors(path)[0]
    if path.suffix == ARCHIVE:
        return read_archive(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # without the text of the error, which recommends `weights_only=False`: this would run code from the file
        message = f"`{path}` is not a state dict of torch: it is damaged, or contains more than tensors"
        raise DataError(message, other_file(path)) from error
    if not isinstance(found, Mapping) or not all(isinstance(x, Tensor) for x in found.values()):
        raise DataError(f"`{path}` is not a state dict of torch: expected tensors by name", other_file(path))
    return {str(name): x for name, x in found.items()}


def other_file(path: Path) -> Hint:
    """Returns the hint for a file that has no weights of the image encoder: the failed command with another file."""
    note = "a safetensors file, a NumPy archive, or a state dict that was saved by torch"
    failed = hints.running()
    for name, value in failed.options if failed else ():
        start, equals, given = (value or "").rpartition("=")  # `--set model.image_weights=FILE`
        if given and Path(given) == path:
            return hints.instead((name, value), (name, f"{start}{equals}FILE")).noting(note)
    return hints.again(image_weights="FILE").noting(note)


def _obtain(encoder: str, from_file: Hint) -> Hint:
    """Returns two commands: one downloads weights, the other uses weights from a file."""
    if encoder == GEOEMBED:
        return INSTALL.or_else(from_file)
    if encoder == SCALEMAE:
        return from_file
    # needs only torch: `import torchvision` fails with a CPU-only torch, see `register_torchvision_ops`
    load = f"torch.hub.load_state_dict_from_url('{weights_url(encoder)}', check_hash=True, weights_only=True)"
    download = f"import torch; {load}"
    return hints.shell("python", "-c", download).or_else(from_file)


def torchvision_models() -> Any:
    """Imports `torchvision.models`.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    try:
        register_torchvision_ops()
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        names = ", ".join(f"`{name}`" for name in TORCHVISION)
        message = f"the image encoders {names} need torchvision, which is not installed"
        raise MissingExtraError(message, hints.shell("pip", "install", "torchvision")) from error
