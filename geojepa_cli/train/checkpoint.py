"""Checkpoints of a training run, in the safetensors format.

A checkpoint is one file, which is replaced atomically. It has weights and optimiser state as tensors, and the progress
as JSON in its metadata. Random numbers of a step depend only on (seed, step), so no random generator state is saved.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store.tensors import read_tensors, save_tensors

CHECKPOINT = "checkpoint.safetensors"
_PROGRESS = "place"  # key in the metadata of the file


@dataclass
class Progress:
    """Progress of a training run.

    Attributes:
        step: number of completed optimiser steps.
        epoch: epoch of the next batch.
        batch: index of the next batch in its epoch.
        tokens: number of tokens trained on so far. Repeated tokens count again.
        tiles: number of tiles trained on so far. Repeated tiles count again.
        elapsed_s: training time in seconds, including the time before the run was resumed. Only the time limit uses it.
        metrics_bytes: length of `metrics.jsonl` in bytes.
        totals: sum of each loss part since the last line of `metrics.jsonl`.
        total_count: number of steps in these sums.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    tiles: int = 0
    elapsed_s: float = 0.0
    metrics_bytes: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    total_count: int = 0


def save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Writes a checkpoint to a temporary file, syncs it to disk, and renames it to `path`."""
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, state in _named_state(module, optimizer).items():
        for key, value in state.items():
            tensors[f"optimizer.{name}.{key}"] = value
    save_tensors(path, tensors, {_PROGRESS: json.dumps(asdict(progress))})


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Loads weights and optimiser state into `module` and `optimizer`, and returns the progress.

    Raises:
        DataError: the checkpoint is unreadable or belongs to another model.
    """
    restart = hints.again(no_resume=True)
    try:
        tensors, metadata = read_tensors(path)
    except DataError as error:
        raise DataError(error.message, restart) from error
    try:
        progress = Progress(**json.loads(metadata[_PROGRESS]))
        if min(progress.step, progress.epoch, progress.batch, progress.metrics_bytes) < 0:
            raise ValueError(f"negative progress: {progress}")
        module.load_state_dict(_under(tensors, "model."))
        state = _under(tensors, "optimizer.")
        for name, parameter in module.named_parameters():
            own = {key: value for key, value in _under(state, name + ".").items() if "." not in key}
            if any(value.ndim and value.shape != parameter.shape for value in own.values()):
                raise ValueError(f"the optimiser state of `{name}` does not have the shape of the parameter")
            if own:
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in own.items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # RuntimeError includes RecursionError
        raise DataError(f"`{path}` is not a checkpoint of this model: {error}", restart) from error
    return progress


def checkpoint_step(path: Path) -> int | None:
    """Returns the step of a checkpoint without reading its tensors. None if there is no readable checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads(file.metadata()[_PROGRESS])["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _named_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter]: state for parameter, state in optimizer.state.items()}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
