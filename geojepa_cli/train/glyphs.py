"""Training data of the geometry encoder: multipolygons in the shape of two-digit numbers, drawn during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.glyphs.draw import GlyphBatch, draw_batch
from geojepa_cli.glyphs.fonts import Families
from geojepa_cli.models.base import FrozenInputs, Pretrainable
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
    """

    families: Families
    config: GeometryConfig
    seed: int
    device: torch.device

    @property
    def inputs(self) -> FrozenInputs:
        """Empty table of tag embeddings, because the model reads no tags. The table is on the training device."""
        return FrozenInputs(torch.empty(0, 0, device=self.device))

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""
        return -(-self.config.glyphs.samples // self.config.train.batch_tokens)

    def batches(self, epoch: int, position: int) -> Iterator[GlyphBatch]:
        """Yields the batches of an epoch. Each epoch has different multipolygons.

        Args:
            epoch: number of the epoch, from 0.
            position: index of the first batch to yield.
        """
        glyphs, size = self.config.glyphs, self.config.train.batch_tokens
        for batch in range(position, self.n_batches(epoch)):
            rng = np.random.default_rng([self.seed, _TRAIN, epoch, batch])
            count = min(size, glyphs.samples - batch * size)
            yield draw_batch(self.families.train, count, glyphs, rng, unseen=False).to(self.device)

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
