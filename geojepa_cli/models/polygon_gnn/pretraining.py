"""Training of the geometry encoder: a classifier must recognise the number whose shape a multipolygon has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.config.geometry import GeometryConfig, PolygonModelConfig
from geojepa_cli.glyphs.draw import GlyphBatch
from geojepa_cli.models.base import BatchVectors, FrozenInputs, StepLosses

if TYPE_CHECKING:
    from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN

TENS, UNITS = 9, 10  # tens 1 to 9, units 0 to 9
BYTES_PER_GLYPH = 1 << 24  # bytes of activations per multipolygon and layer, if dim is 256: about 600 paths × 5 tensors


class GlyphClassifier(nn.Module):
    """Geometry encoder, followed by a classifier of the numbers 10 to 99.

    The logit of a number is the sum of two logits: one for its tens digit and one for its units digit. So each number
    is a training example for both of its digits.

    Args:
        encoder: geometry encoder.
        config: size of the encoder, and probability of dropout before the classifier.
    """

    def __init__(self, encoder: PolygonGNN, config: PolygonModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(config.dim, config.dim), nn.ReLU(), nn.Linear(config.dim, TENS + UNITS))
        self.dropout = config.dropout

    def forward(self, batch: GlyphBatch, kept: Tensor | None = None) -> Tensor:
        """Returns the logits of the numbers 10 to 99 for each multipolygon: float [T, 90].

        Args:
            batch: T multipolygons in the shape of numbers.
            kept: False for values that dropout sets to 0. None: no dropout. bool [T, D]
        """
        x = self.encoder(batch.shapes)
        if kept is not None:
            x = x * kept / (1.0 - self.dropout)
        tens, units = self.head(x).split((TENS, UNITS), dim=1)
        return (tens[:, :, None] + units[:, None]).flatten(1)


class PolygonPretraining:
    """Geometry encoder with its classifier and loss, for the training loop. Implements the protocol `Pretrainable`.

    Args:
        module: encoder and classifier.
        config: configuration of the training run.
    """

    def __init__(self, module: GlyphClassifier, config: GeometryConfig) -> None:
        self.needs = config.needs
        self.module = module
        self._config = config

    def prepare(self, batch: GlyphBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Returns a function that classifies the multipolygons of a batch, and returns the cross-entropy."""
        kept = None
        if self.module.dropout > 0:
            shape = (batch.n_tiles, self._config.model.dim)
            kept = (torch.rand(shape, generator=rng) >= self.module.dropout).to(batch.labels.device)
        return lambda: self._losses(batch, kept)

    def _losses(self, batch: GlyphBatch, kept: Tensor | None) -> StepLosses:
        logits = self.module(batch, kept).float()
        loss = F.cross_entropy(logits, batch.labels)
        accuracy = (logits.argmax(1) == batch.labels).float().mean()
        parts = {"loss": loss.detach(), "accuracy": accuracy}
        return StepLosses(loss, parts, batch.n_tiles)

    def finish_step(self, progress: float) -> None:
        """Does nothing. (GeoJEPA updates its target encoder here; this model has none.)"""

    def embed(self, batch: GlyphBatch) -> BatchVectors:
        """Computes the vectors of a batch's multipolygons.

        Each multipolygon counts as a tile with one entity, so tile vectors and entity vectors are equal.
        """
        vectors = self.module.encoder(batch.shapes)
        return BatchVectors(vectors, vectors)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the bytes of memory that activations need in one training step on `tokens` multipolygons."""
        model = self._config.model
        return tokens * model.depth * BYTES_PER_GLYPH * model.dim // 256

    def parameter_counts(self) -> dict[str, int]:
        """Returns the numbers of parameters of the encoder and of the classifier, by name."""
        return {
            "parameters": sum(p.numel() for p in self.module.encoder.parameters()),
            "classifier_parameters": sum(p.numel() for p in self.module.head.parameters()),
        }


def build(config: GeometryConfig, inputs: FrozenInputs, seed: int) -> PolygonPretraining:
    """Returns an untrained geometry encoder on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: object whose attribute `device` is the device of the model. The tag embeddings are not used.
        seed: random seed of the initial weights.
    """
    from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = GlyphClassifier(PolygonGNN(config.model.dim, config.model.depth), config.model)
    return PolygonPretraining(module.to(inputs.device), config)
