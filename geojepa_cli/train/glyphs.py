"""Training data of the geometry encoder: multipolygons in the shape of two-digit numbers, drawn during training."""

from __future__ import annotations

import multiprocessing
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from geojepa_cli.config.geometry import GeometryConfig, GlyphConfig
from geojepa_cli.glyphs.draw import Family, GlyphBatch, draw_batch
from geojepa_cli.glyphs.fonts import Families
from geojepa_cli.models.base import FrozenInputs, Pretrainable
from geojepa_cli.nn.geometry.shapes import Shapes
from geojepa_cli.train.monitor import Look

EVALUATED = 128  # number of multipolygons that are evaluated at once
_TRAIN, _TEST = 1, 2  # part of the random seed, so that training and test data differ


@dataclass(frozen=True)
class GlyphData:
    """Draws multipolygons in the shape of numbers, to train and test the geometry encoder.

    The multipolygons of a batch depend only on the seed, the epoch and the index of the batch.

    Attributes:
        families: digit outlines of the fonts to train on and to test on.
        config: configuration of the training run.
        seed: random seed of the multipolygons.
        device: device that batches are on.
        workers: number of processes that draw multipolygons. 0: the training process draws them. Does not affect the
            result.
    """

    families: Families
    config: GeometryConfig
    seed: int
    device: torch.device
    workers: int = 0

    @property
    def inputs(self) -> FrozenInputs:
        """Empty table of tag embeddings, because the model reads no tags. The table is on the training device."""
        return FrozenInputs(torch.empty(0, 0, device=self.device))

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""
        return -(-self.config.glyphs.samples // self.config.train.batch_tokens)

    def batches(self, epoch: int, indices: Sequence[int]) -> Iterator[GlyphBatch]:
        """Yields batches of an epoch. Each epoch has different multipolygons.

        Args:
            epoch: number of the epoch, from 0.
            indices: indices of the batches to yield, in this order.
        """
        samples, size = self.config.glyphs.samples, self.config.train.batch_tokens
        drawings = [_Drawing((self.seed, _TRAIN, epoch, batch), min(size, samples - batch * size)) for batch in indices]
        if self.workers == 0:
            for drawing in drawings:
                yield _draw(self.families.train, self.config.glyphs, drawing).to(self.device)
            return
        for arrays in self._pool.imap(_draw_arrays, drawings):
            tensors = [torch.from_numpy(array) for array in arrays]
            yield GlyphBatch(Shapes(*tensors[:-2]), *tensors[-2:]).to(self.device)

    @cached_property
    def _pool(self) -> Pool:
        pool = multiprocessing.get_context("spawn").Pool(
            self.workers, _start_worker, (self.families.train, self.config.glyphs)
        )
        weakref.finalize(self, pool.terminate)
        return pool

    def batch_tokens(self, budget: int) -> int:
        """Returns the number of multipolygons in the largest possible batch."""
        return min(budget, self.config.glyphs.samples)

    def monitor(self, seed: int) -> Callable[[Pretrainable[GlyphBatch]], Look]:
        """Returns a function that computes accuracy and loss of a model on the test data. `seed` is not used."""
        fixed = self.fixed_batches()
        return lambda model: Look(accuracies(model, fixed))

    def fixed_batches(self) -> list[GlyphBatch]:
        """Returns the test data, which are the same in every call.

        These are `test_samples` multipolygons that are drawn from the training fonts but not used for training, and as
        many that are drawn from the test fonts.
        """
        glyphs = self.config.glyphs
        found = []
        for unseen, families in ((False, self.families.train), (True, self.families.test)):
            rng = np.random.default_rng([self.seed, _TEST, int(unseen)])
            left = glyphs.test_samples
            while left > 0:
                found.append(draw_batch(families, min(left, EVALUATED), glyphs, rng, unseen).to(self.device))
                left -= EVALUATED
        return found


@dataclass(frozen=True)
class _Drawing:
    seed: tuple[int, ...]
    count: int


def _draw(families: Sequence[Family], glyphs: GlyphConfig, drawing: _Drawing) -> GlyphBatch:
    return draw_batch(families, drawing.count, glyphs, np.random.default_rng(drawing.seed), unseen=False)


_worker: tuple[Sequence[Family], GlyphConfig] | None = None  # set in each process that draws


def _start_worker(families: Sequence[Family], glyphs: GlyphConfig) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = families, glyphs


def _draw_arrays(drawing: _Drawing) -> list[np.ndarray[Any, Any]]:
    """Draws a batch in a worker process. NumPy arrays need no shared memory on their way back, unlike tensors."""
    assert _worker is not None
    batch = _draw(*_worker, drawing)
    return [tensor.numpy() for tensor in (*batch.shapes, batch.labels, batch.unseen)]


def accuracies(model: Pretrainable[GlyphBatch], batches: Sequence[GlyphBatch]) -> dict[str, float]:
    """Computes accuracy and loss of a classifier on test data. The caller disables gradients.

    Args:
        model: model whose module returns the logits of the numbers 10 to 99 for a batch.
        batches: test data.

    Returns:
        A dict with four values: `accuracy_unseen_fonts` and `loss_unseen_fonts` for multipolygons that are drawn from
        the test fonts, `accuracy_unseen_instances` and `loss_unseen_instances` for test multipolygons that are drawn
        from the training fonts.
    """
    logits = torch.cat([model.module(batch).float() for batch in batches])
    labels, unseen = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("labels", "unseen"))
    found = {}
    for name, rows in (("unseen_fonts", unseen), ("unseen_instances", ~unseen)):
        found[f"accuracy_{name}"] = float((logits[rows].argmax(1) == labels[rows]).float().mean())
        found[f"loss_{name}"] = float(F.cross_entropy(logits[rows], labels[rows]))
    return found
