"""Pretraining of GeoJEPA by masked latent prediction."""

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
    """GeoJEPA model in training. Implements `Pretrainable`.

    Args:
        module: model to train.
        config: configuration of the run.
        inputs: precomputed features, on the model's device.
    """

    def __init__(self, module: Jepa, config: PretrainConfig, inputs: FrozenInputs) -> None:
        self.needs = config.needs
        self.module = module
        self._config = config
        self._inputs = inputs
        self._rates = mask_rates(config.masking)
        self._weights = modality_weights(config, inputs.device)

    def step(self, batch: TileBatch, rng: torch.Generator) -> StepLosses:
        """Draws masks with `rng`, predicts the target tokens from the context, and returns the losses."""
        output = self.module(batch, self._inputs.tag_table, self._rates, rng)
        with torch.autocast(self._inputs.device.type, enabled=False):
            losses = jepa_losses(output, self._config.loss, self._weights)
        parts = {name: value.detach() for name, value in losses.items()}
        return StepLosses(losses["loss"], parts, output.tokens)

    def finish_step(self, progress: float) -> None:
        """Updates the target encoder as the exponential moving average of the context encoder."""
        self.module.update_target(ema_momentum(self._config.train, progress))

    def embed(self, batch: TileBatch) -> Embeddings:
        """Returns the target encoder's entity vectors [T, D] and tile vectors [B, 2·D]."""
        return self.module.target_encoder(batch, self._inputs.tag_table)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory of one step's activations, in bytes, for a batch of `tokens` tokens."""
        return activation_bytes(self._config, tokens)

    def parameter_counts(self) -> dict[str, int]:
        """Returns the parameter counts of the context encoder and of the predictor of hidden tokens."""
        return {
            "parameters": sum(p.numel() for p in self.module.context_encoder.parameters()),
            "predictor_parameters": sum(p.numel() for p in self.module.predictor.parameters()),
        }


def build(config: PretrainConfig, inputs: FrozenInputs, seed: int) -> JepaPretraining:
    """Returns an untrained model. Its weights depend only on configuration and seed."""
    return JepaPretraining(build_jepa(config.model, seed).to(inputs.device), config, inputs)


def ema_momentum(config: TrainConfig, progress: float) -> float:
    """Returns the momentum of the target encoder: constant, or linear from start to end value (GeoJEPA thesis)."""
    if config.ema_momentum_end is None:
        return config.ema_momentum
    return config.ema_momentum + min(max(progress, 0.0), 1.0) * (config.ema_momentum_end - config.ema_momentum)
