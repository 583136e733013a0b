"""Training that runs out of memory: computes the token budget that fits, for the hint of the error."""

from __future__ import annotations

from collections.abc import Callable

import torch

from geojepa_cli import hints
from geojepa_cli.config.schema import TrainConfig
from geojepa_cli.errors import UsageError

SPARE = 0.9  # fraction of the memory that the suggested batch may use; the rest is for fragmentation
PHRASES = ("can't allocate memory", "not enough memory", "out of memory")  # in errors of PyTorch's CPU allocator


def is_shortage(error: BaseException) -> bool:
    """Returns True for an error of the memory allocator. On a CPU, PyTorch raises a plain `RuntimeError`."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES)


class MemoryUse:
    """Measures on a GPU how much memory the batches of a run need.

    Args:
        device: training device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._largest = 0  # tokens of the largest batch so far
        self._peak = 0  # bytes, including this batch
        self._base = 0  # bytes between two steps: weights, state of the optimiser, resident data

    def start_step(self) -> None:
        """Measures the memory that is in use before a step. Must be called before each step.

        Does nothing after the first batch was measured.
        """
        if self._device.type == "cuda" and not self._largest:
            self._base = torch.cuda.memory_allocated(self._device)

    def note(self, tokens: int) -> None:
        """Measures the memory that a batch needs, if it is the largest batch so far. Does not wait for the GPU.

        Must be called after the backward pass of the batch was started.

        Args:
            tokens: number of tokens in the batch.
        """
        if self._device.type == "cuda" and tokens > self._largest:
            self._largest, self._peak = tokens, torch.cuda.max_memory_allocated(self._device)

    def error(self, step: int, config: TrainConfig, largest: Callable[[int], int]) -> UsageError:
        """Returns the error for a step that ran out of memory. The hint is the failed command with smaller batches.

        If batches cannot be smaller, because a single sample is too large, the hint is to recompute activations.

        Args:
            step: number of completed steps.
            config: training settings.
            largest: function that returns the size of the largest possible batch for a value of `train.batch_tokens`.
        """
        given, size = config.batch_tokens, largest(config.batch_tokens)
        sizes = f"`train.batch_tokens` is {given:,}, and the largest batch has {size:,}; it needs more memory"
        where = "than the GPU has" if self._device.type == "cuda" else "than is available"
        budget = self.budget(min(given, size))
        changed: dict[str, int | str] = {"train.batch_tokens": budget}
        if largest(budget) >= size and not config.recompute:
            changed = {"train.recompute": "true"}
        return UsageError(f"out of memory in step {step:,}: {sizes} {where}", hints.again(set=changed))

    def budget(self, batch_tokens: int) -> int:
        """Returns a number of tokens per batch that fits into memory.

        It is computed from the measured memory per token. If there is no measurement, it is half of the current number.

        Args:
            batch_tokens: current maximum number of tokens per batch.
        """
        half = max(batch_tokens // 2, 1)
        if not self._largest or self._peak <= self._base:
            return half
        free = torch.cuda.mem_get_info(self._device)[0] + torch.cuda.memory_reserved(self._device)
        return fitting_tokens(free - self._base, (self._peak - self._base) / self._largest, batch_tokens) or half


def fitting_tokens(available: float, per_token: float, batch_tokens: int) -> int | None:
    """Returns the number of tokens that fit into memory, rounded down to two significant digits.

    Returns None if not even one token fits, or if the current number of tokens fits.

    Args:
        available: memory for one batch, in bytes.
        per_token: memory per token, in bytes.
        batch_tokens: current maximum number of tokens per batch.
    """
    tokens = int(SPARE * available / per_token)
    if not 1 <= tokens < batch_tokens:
        return None
    unit = 10 ** max(len(str(tokens)) - 2, 0)
    return tokens // unit * unit
