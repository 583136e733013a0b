"""Pretraining by masked latent prediction."""

from __future__ import annotations

import torch

from geojepa_cli.config.schema import PretrainConfig, TrainConfig
from geojepa_cli.models.base import Embeddings, FrozenInputs, StepLosses
from geojepa_cli.models.jepa.build import build_jepa, mask_rates, modality_weights
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.losses import jepa_losses
from geojepa_cli.models.jepa.memory import activation_bytes
from geojepa_cli.store.batch import TileBatch


class JepaPretraining:
    """GeoJEPA in training, a `Pretrainable`.

    Args:
        module: the model.
        config: of the run.
        inputs: frozen features, on the model's device.
    """

    def __init__(self, module: Jepa, config: PretrainConfig, inputs: FrozenInputs) -> None:
        self.needs = config.needs
        self.module = module
        self._config = config
        self._inputs = inputs
        self._rates = mask_rates(config.masking)
        self._weights = modality_weights(config, inputs.device)

    def step(self, batch: TileBatch, rng: torch.Generator) -> StepLosses:
        """Draws masks from `rng` and predicts the target tokens from the context."""
        output = self.module(batch, self._inputs.tag_table, self._rates, rng)
        with torch.autocast(self._inputs.device.type, enabled=False):
            losses = jepa_losses(output, self._config.loss, self._weights)
        parts = {name: value.detach() for name, value in losses.items()}
        return StepLosses(losses["loss"], parts, output.tokens)

    def finish_step(self, progress: float) -> None:
        """Moves the target encoder towards the context encoder."""
        self.module.update_target(ema_momentum(self._config.train, progress))

    def embed(self, batch: TileBatch) -> Embeddings:
        """Vectors of the target encoder: entities [T, D], tiles [B, 2·D]."""
        return self.module.target_encoder(batch, self._inputs.tag_table)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory of a step's activations, in bytes, for a batch of this many tokens."""
        return activation_bytes(self._config, tokens)

    def parameter_counts(self) -> dict[str, int]:
        """Parameters of the encoder that users get, and of the predictor."""
        return {
            "parameters": sum(p.numel() for p in self.module.context_encoder.parameters()),
            "predictor_parameters": sum(p.numel() for p in self.module.predictor.parameters()),
        }


def build(config: PretrainConfig, inputs: FrozenInputs, seed: int) -> JepaPretraining:
    """Returns a model with its first weights, a function of configuration and seed."""
    return JepaPretraining(build_jepa(config.model, seed).to(inputs.device), config, inputs)


def ema_momentum(config: TrainConfig, progress: float) -> float:
    """Momentum of the target encoder: constant, or linear from its first to its last value (thesis)."""
    if config.ema_momentum_end is None:
        return config.ema_momentum
    return config.ema_momentum + min(max(progress, 0.0), 1.0) * (config.ema_momentum_end - config.ema_momentum)
