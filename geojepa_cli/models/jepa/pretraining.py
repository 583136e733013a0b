"""Pretraining of GeoJEPA: the model predicts the latent vectors of masked tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from geojepa_cli import console
from geojepa_cli.config.modality import TOKEN_MODALITIES
from geojepa_cli.config.schema import PretrainConfig, TrainConfig
from geojepa_cli.models.base import BatchVectors, FrozenInputs, StepLosses
from geojepa_cli.models.jepa.build import bind_tags, build_jepa, mask_rates, modality_weights
from geojepa_cli.models.jepa.gradients import watch_fusion, watch_gradients
from geojepa_cli.models.jepa.jepa import Jepa, JepaInput
from geojepa_cli.models.jepa.losses import jepa_losses
from geojepa_cli.models.jepa.memory import activation_bytes
from geojepa_cli.models.jepa.pixels import with_visible_pixels
from geojepa_cli.models.numbers import with_numbers
from geojepa_cli.nn.attention import flex_obstacle
from geojepa_cli.nn.counts import count_tile_tags
from geojepa_cli.nn.layouts import SharedLayout
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import frequent_tags


class JepaPretraining:
    """GeoJEPA model with its losses and schedules, for the training loop. Implements `Pretrainable`.

    Args:
        module: model to train.
        config: configuration of the training run.
        inputs: text embeddings of tags, on the model's device.
    """

    def __init__(self, module: Jepa, config: PretrainConfig, inputs: FrozenInputs) -> None:
        self.needs = config.training_needs
        self.module = module
        self._config = config
        self._inputs = inputs
        self._rates = mask_rates(config.masking)
        self._kernel = config.train.precision == "bfloat16" and inputs.device.type == "cuda"
        self._flex = self._kernel and config.train.compile and _can_use_flex()
        self._weights = modality_weights(config, inputs.device)
        self._tags = len(frequent_tags())
        self._columns = inputs.tag_list.frequent_columns().to(inputs.device) if config.model.summary_dim else None
        tokens = [modality for modality in TOKEN_MODALITIES if modality in config.model.modalities]
        self._modalities = {str(modality): modality.number for modality in tokens}
        fusion = module.context_encoder.tokens.tokenizer.fusion
        self._fused = {} if fusion is None else watch_fusion(fusion, inputs.device)

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Masks random tokens of a batch. Returns a function that predicts these tokens and computes the losses."""
        prepared = self.prepare_input(batch, rng)
        return lambda: self._losses(prepared, rng)

    def prepare_input(self, batch: TileBatch, rng: torch.Generator) -> JepaInput:
        """Masks random tokens of a batch. If `masking.pixels` is true, also masks the pixels of hidden image tokens."""
        prepared = self.module.prepare(batch, self._inputs.tag_table, self._rates, rng)
        if self._config.masking.pixels and self._inputs.image_encoder is not None:
            prepared = with_visible_pixels(prepared, batch, self._inputs.image_encoder, self._kernel)
        if self._columns is not None:
            tags = batch.tag_ids, batch.tag_offsets, batch.cu_seqlens
            prepared = replace(prepared, tag_counts=count_tile_tags(self._columns, *tags, self._tags))
        return self._complete(prepared)

    def _complete(self, batch: JepaInput) -> JepaInput:
        """Computes the layouts of attention in advance, so that the training step does not wait for them."""
        if self._flex:
            return batch.with_blocks()
        for layout in (batch.whole.layout, batch.context.layout, batch.arranged.layout):
            if not self._kernel:
                _ = layout.padded_uses if isinstance(layout, SharedLayout) else layout.padded
            elif self._config.model.null_weight:
                _ = layout.null_keys
        return batch

    def _losses(self, batch: JepaInput, rng: torch.Generator) -> StepLosses:
        output = self.module(batch, self._inputs.tag_table)
        with torch.autocast(self._inputs.device.type, enabled=False):
            losses = jepa_losses(output, self._config.loss, self._weights, rng, self._modalities)
        parts = {name: value.detach() for name, value in losses.items()}
        parts |= watch_gradients(output.content, output.context_modality, self._modalities) | self._fused
        return StepLosses(losses["loss"], parts, batch.tokens)

    def finish_step(self, progress: float) -> None:
        """Moves the weights of the target encoder towards those of the context encoder (exponential moving average).

        Copies the target encoder to the Gram teacher when Gram anchoring starts.
        """
        self.module.update_target(ema_momentum(self._config.train, progress))
        if progress >= self._config.loss.gram_start:
            self.module.start_gram()

    def embed(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of a batch's entities [T, D] and tiles [B, W] with the target encoder.

        They have no sketch, which is not trained and would hide a collapse of the trained part.
        """
        return self.module.target_encoder(batch, self._inputs.tag_table)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory for activations in one training step, in bytes. The batch has `tokens` tokens."""
        return activation_bytes(self._config, tokens)

    def parameter_counts(self) -> dict[str, int]:
        """Returns a dict with the number of parameters of the context encoder and that of the predictor."""
        return {
            "parameters": sum(p.numel() for p in self.module.context_encoder.parameters()),
            "predictor_parameters": sum(p.numel() for p in self.module.predictor.parameters()),
        }


def build(config: PretrainConfig, inputs: FrozenInputs, seed: int) -> JepaPretraining:
    """Returns an untrained GeoJEPA model for the training loop, on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: text embeddings of tags.
        seed: random seed of the initial weights.
    """
    module = build_jepa(config.model, seed, config.loss).to(inputs.device)
    bind_tags(module, config.model, inputs)
    return JepaPretraining(module, config, with_numbers(inputs, config.model.number_weight))


def _can_use_flex() -> bool:
    obstacle = flex_obstacle()
    if obstacle is not None:
        console.warn(f"attention is not compiled, so training is slower: {obstacle}")
    return obstacle is None


def ema_momentum(config: TrainConfig, progress: float) -> float:
    """Returns the momentum of the exponential moving average (EMA) that updates the target encoder.

    The momentum is constant at the setting `ema_momentum`, unless `ema_momentum_end` is set. Then it changes linearly
    from `ema_momentum` to `ema_momentum_end` (GeoJEPA thesis).

    Args:
        config: configuration with both values.
        progress: fraction of the training that is complete, 0 to 1.
    """
    if config.ema_momentum_end is None:
        return config.ema_momentum
    return config.ema_momentum + min(max(progress, 0.0), 1.0) * (config.ema_momentum_end - config.ema_momentum)
