"""Protocols of models: a `Pretrainable` can be trained, an `Embedder` turns batches of tiles into vectors."""

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
    """Precomputed features that a model reads in addition to batches, on the model's device. They are not trained.

    Attributes:
        tag_table: text embedding of every tag in the dataset. `TileBatch.tag_ids` are row indices of it. float32 [V, E]
    """

    tag_table: Tensor

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.tag_table.device


@dataclass(frozen=True)
class Embeddings:
    """Embedding vectors of one batch.

    Attributes:
        entities: one vector per entity (the part of an OSM object inside one tile), in the batch's order.
            float [T, D]
        tiles: one vector per tile. float [B, W]
    """

    entities: Tensor
    tiles: Tensor


class Embedder(Protocol):
    """Model that is ready to compute embeddings.

    A baseline is a class with these three members. Its constructor takes `FrozenInputs`. See `models.registry`.

    Attributes:
        name: name of the model for the option `--model`.
        needs: modalities that its batches must contain.
    """

    name: str
    needs: Needs

    def encode(self, batch: TileBatch) -> Embeddings:
        """Returns the vectors of a batch that is on the model's device. The caller disables gradients.

        A batch has at least one entity, or one image if the model needs images. Single tiles of the batch may be
        empty. The vector of an empty tile must not depend on the other tiles.
        """


@dataclass(frozen=True)
class StepLosses:
    """Losses of a training step on one batch.

    Attributes:
        loss: scalar to minimise, with gradient.
        parts: detached scalars for the log, by name. `loss` is one of them.
        tokens: number of tokens in the batch.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    tokens: int


class Pretrainable(Protocol):
    """Interface of a model that `train.loop` can train.

    Attributes:
        needs: modalities that its batches must contain.
        module: module that holds all weights. The optimiser updates its parameters that require a gradient. Its state
            is saved in checkpoints and in the published model.
    """

    needs: Needs
    module: nn.Module

    def step(self, batch: TileBatch, rng: torch.Generator) -> StepLosses:
        """Computes the losses of a batch. Runs under autocast if training uses bfloat16.

        Args:
            batch: tiles to train on, on the model's device.
            rng: random generator on the CPU. Use no other source of randomness, so that a resumed run is repeatable.
        """

    def finish_step(self, progress: float) -> None:
        """Updates the model after an optimiser step, for instance its target encoder.

        Args:
            progress: fraction of the training that is complete, 0 to 1.
        """

    def embed(self, batch: TileBatch) -> Embeddings:
        """Returns the embeddings of a batch with the current weights. The caller disables gradients."""

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory of one step's activations, in bytes, for a batch of `tokens` tokens."""

    def parameter_counts(self) -> dict[str, int]:
        """Returns parameter counts by name, for the manifest and the model card."""
