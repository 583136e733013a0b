"""Checkpoints: everything a run needs to go on as if it had never stopped. Safetensors, no pickle.

One file, replaced as a whole: weights and optimiser state as tensors, the place in the run as JSON in its metadata.
All randomness of a step is drawn from (seed, step), so no generator's state needs to be kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geojepa_cli.errors import DataError
from geojepa_cli.store.tensors import read_tensors, save_tensors

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Place:
    """Where in the run a checkpoint was taken.

    Attributes:
        step: optimiser steps done.
        epoch, batch: the next batch.
        tokens, tiles: what was trained on so far, with repetition.
        elapsed_s: time spent training, over all resumed runs; only limits by time depend on it.
        metrics_bytes: length of `metrics.jsonl`.
        totals, total_count: loss parts since its last line.
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


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, place: Place) -> None:
    """Writes a checkpoint beside the last one, makes it durable, and puts it in its place."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, state in _named_state(model, optimizer).items():
        for key, value in state.items():
            tensors[f"optimizer.{name}.{key}"] = value
    save_tensors(path, tensors, {"place": json.dumps(asdict(place))})


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Place:
    """Puts weights and optimiser state back; returns the place.

    Raises:
        DataError: unreadable, or of another model.
    """
    tensors, metadata = read_tensors(path)
    try:
        place = Place(**json.loads(metadata["place"]))
        model.load_state_dict(_under(tensors, "model."))
        state = _under(tensors, "optimizer.")
        for name, parameter in model.named_parameters():
            own = {key: value for key, value in _under(state, name + ".").items() if "." not in key}
            if own:
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in own.items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"`{path}` is no checkpoint of this model: {error}", hint="--no-resume") from error
    return place


def checkpoint_step(path: Path) -> int | None:
    """The step a checkpoint was taken at, without reading its tensors; None where there is none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads(file.metadata()["place"])["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _named_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: state for parameter, state in optimizer.state.items()}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
