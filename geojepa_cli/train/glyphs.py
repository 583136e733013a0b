"""Training data of the geometry encoder: draws two-digit multipolygons while training runs."""

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

EVALUATED = 128  # multipolygons that are evaluated at once
_TRAIN, _TEST = 1, 2  # separate streams of random numbers


@dataclass(frozen=True)
class GlyphData:
    """Multipolygons to train and test on. The drawings of a batch depend only on the seed and the batch's position.

    Attributes:
        families: outlines of the fonts.
        config: configuration of the training run.
        seed: random seed of the drawings.
        device: device that batches are on.
    """

    families: Families
    config: GeometryConfig
    seed: int
    device: torch.device

    @property
    def inputs(self) -> FrozenInputs:
        """Inputs of the model: no tags."""
        return FrozenInputs(torch.empty(0, 0, device=self.device))

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""
        return -(-self.config.glyphs.samples // self.config.train.batch_tokens)

    def batches(self, epoch: int, position: int) -> Iterator[GlyphBatch]:
        """Yields the batches of an epoch. Each epoch has other drawings.

        Args:
            epoch: number of the epoch.
            position: index of the first batch to yield.
        """
        glyphs, size = self.config.glyphs, self.config.train.batch_tokens
        for batch in range(position, self.n_batches(epoch)):
            rng = np.random.default_rng([self.seed, _TRAIN, epoch, batch])
            count = min(size, glyphs.samples - batch * size)
            yield draw_batch(self.families.train, count, glyphs, rng, unseen=False).to(self.device)

    def monitor(self, seed: int) -> Callable[[Pretrainable[GlyphBatch]], Look]:
        """Returns a function that computes the accuracy of a model on the test data. `seed` is not used."""
        fixed = self.fixed_batches()
        return lambda model: Look(accuracies(model, fixed))

    def fixed_batches(self) -> list[GlyphBatch]:
        """Returns the test data: `test_samples` new drawings of the training fonts, and as many of the test fonts."""
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
    """Returns accuracy and loss of a classifier on test data. The caller disables gradients.

    Args:
        model: model whose module returns the logits of the classes of a batch.
        batches: test data.

    Returns:
        `accuracy_unseen_fonts` and `loss_unseen_fonts` on fonts that training does not use;
        `accuracy_unseen_instances` and `loss_unseen_instances` on new drawings of the fonts of training.
    """
    logits = torch.cat([model.module(batch).float() for batch in batches])
    labels, unseen = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("labels", "unseen"))
    found = {}
    for name, rows in (("unseen_fonts", unseen), ("unseen_instances", ~unseen)):
        found[f"accuracy_{name}"] = float((logits[rows].argmax(1) == labels[rows]).float().mean())
        found[f"loss_{name}"] = float(F.cross_entropy(logits[rows], labels[rows]))
    return found
