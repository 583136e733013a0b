"""Memory check before training: compares the estimated memory of a run with the available memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from geojepa_cli import hints
from geojepa_cli.config.families import TileConfig
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.models.base import Pretrainable
from geojepa_cli.models.registry import build_pretrainable
from geojepa_cli.train.data import TrainingData

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
GB = 1e9
MAX_TRIES = 64


@dataclass(frozen=True)
class MemoryEstimate:
    """Estimated memory of a training run, in bytes.

    Attributes:
        weights: bytes of all parameters, including copies such as an EMA target encoder, and a frozen image encoder.
        optimizer: bytes of the gradients and of AdamW's two moments.
        activations: bytes of the activations in one training step on the largest batch.
    """

    weights: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Estimated memory of the whole run: sum of weights, optimiser and activations, in bytes."""
        return self.weights + self.optimizer + self.activations


def check_memory(config: TileConfig, data: TrainingData, available: int | None = None) -> None:
    """Raises an error if a training run needs more memory than is available.

    Args:
        config: configuration of the training run.
        data: training data, which determines the size of the largest batch.
        available: available memory in bytes. None: it is queried from the operating system or from CUDA.

    Raises:
        UsageError: the estimated memory exceeds the available memory. The hint is a command that needs less memory.
    """
    available = available_bytes(data.device) if available is None else available
    estimate = estimate_memory(config, data)
    if available is None or estimate.total <= available:
        return
    parts = ("weights", "optimizer", "activations")
    shares = ", ".join(f"{name} {getattr(estimate, name) / GB:,.1f}" for name in parts)
    message = f"training needs about {estimate.total / GB:,.1f} GB of memory ({shares}), but only"
    raise UsageError(f"{message} {available / GB:,.1f} GB is available", _fitting(config, data, available))


def estimate_memory(config: TileConfig, data: TrainingData) -> MemoryEstimate:
    """Estimates the memory of a training run."""
    return _estimate(_build(config, data), config, data)


def _build(config: TileConfig, data: TrainingData) -> Pretrainable:
    """Builds the model of a training run without allocating memory for its weights."""
    table = data.inputs.tag_table
    with torch.device("meta"):
        inputs = replace(data.inputs, tag_table=torch.empty_like(table, device="meta"), image_encoder=None)
        return build_pretrainable(config, inputs, seed=0)


def _estimate(model: Pretrainable, config: TileConfig, data: TrainingData) -> MemoryEstimate:
    """Estimates the memory of a training run of a model that `_build` returned."""
    weights = sum(tensor.nbytes for tensor in model.module.state_dict().values())
    if data.inputs.image_encoder is not None:
        weights += sum(tensor.nbytes for tensor in data.inputs.image_encoder.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.module.parameters() if parameter.requires_grad)
    activations = model.activation_bytes(data.batch_tokens(config.train.batch_tokens))
    if config.train.precision == "bfloat16" and data.device.type == "cuda":
        activations //= 2  # a CPU keeps float32 copies, which need as much memory as float32 alone
    return MemoryEstimate(weights, 3 * trained, activations)


def available_bytes(device: torch.device) -> int | None:
    """Returns the number of bytes that the process can still allocate on a device.

    On a CPU, this is the smaller of two values: the available memory of the system, and the memory limit of the
    process's cgroup (for example of a container) minus the memory in use.

    Returns:
        Bytes, or None if the operating system reports neither value.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [_system_bytes(), _cgroup_bytes("memory.max", "memory.current", "memory.stat")]
    found.append(_cgroup_bytes("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"))
    return min((value for value in found if value is not None), default=None)


def _system_bytes() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _cgroup_bytes(limit: str, usage: str, stat: str) -> int | None:
    """Returns the memory limit of the process's cgroup minus the memory in use, in bytes.

    Inactive cached files do not count as memory in use. Returns None if there is no limit.

    Args:
        limit: path of the file with the limit, relative to `CGROUP`.
        usage: path of the file with the memory in use.
        stat: path of the file with the size of cached files.
    """
    try:
        allowed = int((CGROUP / limit).read_text(encoding="ascii"))  # ValueError for `max` (no limit)
        used = int((CGROUP / usage).read_text(encoding="ascii"))
        pairs = (line.split() for line in (CGROUP / stat).read_text(encoding="ascii").splitlines())
        cached = next((int(value) for name, value in pairs if name in ("inactive_file", "total_inactive_file")), 0)
    except (OSError, ValueError):
        return None
    return max(allowed - used + cached, 0)


def _fitting(config: TileConfig, data: TrainingData, available: int) -> Hint:
    """Returns a hint: the failed command with smaller settings, which fit into the available memory.

    If it is enough to compute activations again in the backward pass, the hint is to do so, because this does not
    change the trained model. Otherwise, settings are halved one after the other until the estimate is small enough. If
    no setting can be halved any more, the hint uses the configuration `tiny.yaml`.
    """
    recomputed = config.model_copy(update={"train": config.train.model_copy(update={"recompute": True})})
    if estimate_memory(recomputed, data).total <= available:
        return hints.again(set={"train.recompute": "true"})
    changed: dict[str, Any] = {}
    model = _build(config, data)
    for _ in range(MAX_TRIES):
        estimate = _estimate(model, config, data)
        if estimate.total <= available:
            break
        smaller = _halve(config, data, estimate)
        if smaller is None:
            return hints.run("pretrain", config="tiny.yaml", set={"train.batch_tokens": 1024})
        key, config = smaller
        section, name = key.split(".")
        changed[key] = getattr(getattr(config, section), name)
        if section == "model":
            model = _build(config, data)
    return hints.again(set=changed)


def _halve(config: TileConfig, data: TrainingData, estimate: MemoryEstimate) -> tuple[str, TileConfig] | None:
    """Halves one setting, to reduce the memory of a training run.

    The first of these settings whose halved value is valid is halved: batch size, width and depth of the larger
    network, width and depth of the other network. The two networks are the encoder and the predictor. The batch size is
    skipped if activations need less than half of the memory. For a baseline that counts tags, the number of counted
    tags comes before the width.

    Returns:
        Key of the setting and the changed configuration. None if no setting can be halved.
    """
    keys = ["model.columns", "model.embed_dim", "model.depth", "model.predictor_dim", "model.predictor_depth"]
    keys = [key for key in keys if hasattr(config.model, key.partition(".")[2])]
    model = config.model
    if isinstance(model, ModelConfig):
        predictor, encoder = model.predictor_depth * model.predictor_dim**2, model.depth * model.embed_dim**2
        keys = keys[2:] + keys[:2] if predictor > encoder else keys
    budget = config.train.batch_tokens
    if estimate.activations > estimate.total / 2 and data.batch_tokens(budget // 2) < data.batch_tokens(budget):
        keys = ["train.batch_tokens", *keys]
    for key in keys:
        section, name = key.split(".")
        values = config.model_dump(mode="json")
        values[section][name] //= 2
        try:
            return key, type(config).model_validate(values)
        except ValidationError:
            continue
    return None
