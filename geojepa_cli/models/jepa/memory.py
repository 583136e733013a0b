"""Estimate of the memory that the activations of a GeoJEPA training step need."""

from __future__ import annotations

from geojepa_cli.config.masking import MaskingConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig, PretrainConfig

FLOAT = 4  # bytes
PADDING = 1.15  # rows of the padded attention buffer, divided by the number of tokens
LAYER = 9.0  # vectors of width D that a layer, without its MLP, stores per token for the backward pass
FUSION = 10.0  # vectors of width D that the fusion of tags and geometry stores per token
FROZEN = 300_000_000  # bytes for one batch of images in a frozen image encoder
TAGS = 4.0  # tags of an entity
# Peak memory divided by the memory of the stored tensors. The rest is gradients of the current layer, and gaps between
# freed blocks. Estimated and measured memory of whole runs on a CPU in float32: preset `t` with 4 encoder and 2
# predictor layers 1.8 and 2.0 GB, `tiny` with 8 targets and 8,000 tokens 1.0 and 0.9 GB, `ti` with 3 layers and 4,000
# tokens 2.1 and 1.5 GB, `tiny` 0.2 and 0.4 GB.
PEAK = 1.5


def activation_bytes(config: PretrainConfig, tokens: int) -> int:
    """Estimates the bytes of memory that activations and their gradients need in one training step.

    The estimate covers the tensors that the context encoder and the predictor store for the backward pass, and
    temporary buffers. The target encoder has no backward pass, so it needs only temporary buffers.

    Args:
        config: configuration of the training run.
        tokens: number of tokens in the batch.
    """
    model, pixels = config.model, config.masking.pixels
    context, predicted = _token_shares(config.masking)
    per_layer = LAYER * PADDING + 2 * model.mlp_ratio
    encoder = context * model.depth * per_layer * model.embed_dim
    predictor = predicted * model.predictor_depth * per_layer * model.predictor_dim
    buffers = (6 + 2 * model.mlp_ratio) * model.embed_dim
    values = encoder + predictor + buffers + _tokenizer_values(model, pixels)
    return int(PEAK * FLOAT * tokens * values) + FROZEN * pixels


def _tokenizer_values(model: ModelConfig, pixels: bool) -> float:
    """Estimates the values per token that the tokenizer stores for geometry, images and learned weights of tags."""
    values = 0.0
    if model.frozen_images is not None:
        values += model.frozen_images.dim
    if pixels and model.frozen_images is not None:
        values += 1.5 * model.frozen_images.dim  # tokens of the masked images, in float32 and float16
    if Modality.GEOMETRY in model.modalities:
        values += model.geometry_dim + FUSION * model.embed_dim
    if model.tag_weighting == "learned":
        values += TAGS * model.tag_dim
    return values


def _token_shares(masking: MaskingConfig) -> tuple[float, float]:
    """Estimates how many tokens the context encoder and the predictor process per token of the batch.

    The predictor can process several tokens per token of the batch, because it processes one sequence for each target
    of a tile. A sequence has the tile's context tokens and the target's tokens.
    """
    target = max(masking.random_ratio, masking.area_high)
    least = max(masking.random_context, masking.area_context, masking.modality_context, masking.kind_context)
    context = max((1 - target) ** masking.num_targets, least)
    return context, masking.num_targets * (context + target)
