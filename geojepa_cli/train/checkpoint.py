"""Checkpoints of a training run, in the safetensors format.

A checkpoint is one file, which is replaced atomically. Weights and optimiser state are tensors in the file. The
progress of the run is JSON in the file's metadata. The random numbers of a step depend only on the seed and the step
number, so a checkpoint does not contain the state of a random generator.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store.tensors import read_tensors, save_tensors

_PROGRESS = "place"  # key in the metadata of the file


@dataclass
class Progress:
    """Progress of a training run.

    Attributes:
        step: number of completed optimiser steps.
        epoch: number of the epoch that contains the next batch. Epochs are counted from 0.
        batch: index of the next batch in this epoch.
        tokens: number of tokens trained on so far. A token counts each time that it is used.
        tiles: number of tiles trained on so far. A tile counts each time that it is used.
        elapsed_s: training time in seconds, including the time before an interruption. Used for the time limit only.
        metrics_bytes: length of `metrics.jsonl` in bytes when the checkpoint was written.
        totals: sum of each loss term over the steps since the last line of `metrics.jsonl`.
        total_count: number of steps in `totals`.
        watch: state of the monitor, see `train.watch.Watch`.
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
    watch: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Writes a checkpoint of a training run. Replaces an existing file at `path` atomically."""
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, state in _named_state(module, optimizer).items():
        for key, value in state.items():
            tensors[f"optimizer.{name}.{key}"] = value
    save_tensors(path, tensors, {_PROGRESS: json.dumps(asdict(progress))})


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Reads a checkpoint. Loads its weights into `module` and its optimiser state into `optimizer`.

    Returns:
        Progress of the training run.

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
    """Returns the number of completed steps in a checkpoint file, or None if there is no readable checkpoint."""
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
