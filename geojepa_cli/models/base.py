"""The two protocols of models: `Pretrainable` is trained, `Embedder` turns batches of tiles into vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from geojepa_cli.config.modality import Needs
from geojepa_cli.store.batch import TileBatch


@dataclass(frozen=True)
class FrozenInputs:
    """Frozen features that a model reads in addition to batches, on the model's device.

    Attributes:
        tag_table: text embedding of every tag of the dataset; `TileBatch.tag_ids` are its rows. float32 [V, E]
    """

    tag_table: Tensor

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.tag_table.device


@dataclass(frozen=True)
class Embeddings:
    """Vectors of a batch.

    Attributes:
        entities: one vector per entity (piece), in the batch's order. float [T, D]
        tiles: one vector per tile. float [B, W]
    """

    entities: Tensor
    tiles: Tensor


class Embedder(Protocol):
    """A model that is ready to embed.

    A baseline is a class with these three members whose constructor takes `FrozenInputs`; see `models.registry`.

    Attributes:
        name: by which commands know it.
        needs: modalities that its batches are read with.
    """

    name: str
    needs: Needs

    def encode(self, batch: TileBatch) -> Embeddings:
        """Returns the vectors of a batch on the model's device. No gradient is recorded.

        A batch has at least one entity (or one image, if the model needs images), but single tiles of it may be
        empty: their vectors should not depend on other tiles.
        """


@dataclass(frozen=True)
class StepLosses:
    """Result of a training step on one batch.

    Attributes:
        loss: to minimise, a scalar with gradient.
        parts: scalars for the log, detached; `loss` is one of them.
        tokens: number of tokens trained on.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    tokens: int


class Pretrainable(Protocol):
    """A model in training, as `train.loop` sees it.

    Attributes:
        needs: modalities that its batches are read with.
        module: holds all weights. Its parameters that require a gradient are optimised; its state is checkpointed and
            published.
    """

    needs: Needs
    module: nn.Module

    def step(self, batch: TileBatch, rng: torch.Generator) -> StepLosses:
        """Computes the losses of a batch, under autocast if training is in half precision.

        Args:
            batch: on the model's device.
            rng: on the CPU; the only source of randomness, so that a resumed run repeats it.
        """

    def finish_step(self, progress: float) -> None:
        """Runs after every optimiser step, for instance to update a target encoder.

        Args:
            progress: share of the training done, 0 to 1.
        """

    def embed(self, batch: TileBatch) -> Embeddings:
        """Returns the vectors that users would get from the present weights; called without gradient."""

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory of a step's activations, in bytes, for a batch of this many tokens."""

    def parameter_counts(self) -> dict[str, int]:
        """Returns numbers of parameters for manifest and card."""
