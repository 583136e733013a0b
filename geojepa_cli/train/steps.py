"""Prepares the batches of training steps: reads them, draws masks and computes indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch

from geojepa_cli.models.base import Batch, Pretrainable, StepLosses
from geojepa_cli.train.monitor import Look
from geojepa_cli.train.ranks import Ranks

BatchT = TypeVar("BatchT", bound=Batch)
DataT = TypeVar("DataT", bound=Batch, covariant=True)


class Data(Protocol[DataT]):
    """Interface of training data: `train.data.TrainingData` or `train.glyphs.GlyphData`."""

    @property
    def device(self) -> torch.device:
        """Device that batches are on."""

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""

    def batches(self, epoch: int, indices: Sequence[int]) -> Iterator[DataT]:
        """Yields the batches of an epoch that have the given indices."""

    def batch_tokens(self, budget: int) -> int:
        """Returns the number of tokens in the largest possible batch: at most the budget, or one sample."""

    def monitor(self, seed: int) -> Callable[[Pretrainable[DataT]], Look]:
        """Returns a function that computes figures of a model for the training log, always on the same data."""


class Prepared(NamedTuple):
    """A batch that is ready for a training step.

    Attributes:
        compute: function that computes the losses of the batch with the current weights.
        tiles: number of tiles in the batch.
        epoch, batch: place of the first batch of the next step: number of its epoch, and its index in this epoch.
    """

    compute: Callable[[], StepLosses]
    tiles: int
    epoch: int
    batch: int


class Place(NamedTuple):
    """Place in a training run: the next batch to train on.

    Attributes:
        step: number of completed steps.
        epoch: number of the epoch that contains the batch.
        batch: index of the batch in this epoch.
    """

    step: int
    epoch: int
    batch: int


def prepare_steps(
    model: Pretrainable[BatchT], data: Data[BatchT], seed: int, accumulation: int, start: Place, ranks: Ranks
) -> Iterator[Prepared]:
    """Prepares batches without end. Yields only the batches that this process computes.

    The batches and random numbers of a step do not depend on the number of processes.

    Args:
        model: model in training.
        data: training data.
        seed: random seed of the run.
        accumulation: number of batches per step, of all processes together.
        start: place of the first batch, which is the first batch of a step.
        ranks: processes of the run. Process r of W computes the batches r, r + W, r + 2 W, … of each step.
    """
    step, epoch, first = start
    part = 0  # index within its step of the batch `first`
    own_parts = ranks.parts(accumulation)
    while True:
        count = data.n_batches(epoch)
        parts = {index: part + index - first for index in range(first, count)}  # counted from the batch 0 of `step`
        own = [index for index, number in parts.items() if number % accumulation in own_parts]
        for index, batch in zip(own, data.batches(epoch, own), strict=True):
            later, number = divmod(parts[index], accumulation)
            compute = model.prepare(batch, generator(seed, step + later, number))
            after = index + accumulation - number
            yield Prepared(compute, batch.n_tiles, *((epoch, after) if after < count else _wrap(data, epoch, after)))
        later, part = divmod(part + count - first, accumulation)
        step, epoch, first = step + later, epoch + 1, 0


def _wrap(data: Data[BatchT], epoch: int, batch: int) -> tuple[int, int]:
    """Returns the epoch that contains a batch, and the index of the batch in this epoch.

    Args:
        epoch: an epoch.
        batch: index of the batch, counted from the start of this epoch. It may lie in a later epoch.
    """
    while batch >= (count := data.n_batches(epoch)):
        epoch, batch = epoch + 1, batch - count
    return epoch, batch


def generator(seed: int, *place: int) -> torch.Generator:
    """Returns a new random generator for one batch of a training run.

    Args:
        seed: random seed of the run.
        place: step number, and index of the batch within the step. The generator is seeded with `seed` and these
            numbers, so each batch gets different random numbers.
    """
    mixed = seed & 0xFFFFFFFF
    for number in place:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
    return torch.Generator().manual_seed(mixed)
