"""Checkpoints: everything that a run needs to resume as if it had never stopped. Safetensors, no pickle.

A checkpoint is one file, replaced as a whole: weights and optimiser state as tensors, progress as JSON in its
metadata. Everything random in a step is drawn from (seed, step), so no generator's state is kept.
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
_PROGRESS = "place"  # key of the metadata


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        step: optimiser steps done.
        epoch, batch: the next batch.
        tokens, tiles: numbers trained on so far, with repetition.
        elapsed_s: training time of all resumed runs; only limits of time depend on it.
        metrics_bytes: length of `metrics.jsonl`.
        totals, total_count: sums of loss parts since its last line, and their number.
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
    """Writes a checkpoint next to the last one, makes it durable, and replaces the last one."""
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, state in _named_state(module, optimizer).items():
        for key, value in state.items():
            tensors[f"optimizer.{name}.{key}"] = value
    save_tensors(path, tensors, {_PROGRESS: json.dumps(asdict(progress))})


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Restores weights and optimiser state, and returns the progress.

    Raises:
        DataError: it is unreadable, or of another model.
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
                raise ValueError(f"the optimiser's state of `{name}` has another shape")
            if own:
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in own.items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # a RecursionError too
        raise DataError(f"`{path}` is not a checkpoint of this model: {error}", restart) from error
    return progress


def checkpoint_step(path: Path) -> int | None:
    """Returns the step of a checkpoint without reading its tensors; None if there is no readable one."""
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
