"""Estimate of the memory that the activations of a GeoJEPA training step need."""

from __future__ import annotations

from geojepa_cli.config.masking import MaskingConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig, PretrainConfig

FLOAT = 4  # bytes
PADDING = 1.15  # rows of the padded attention buffer, divided by the number of tokens
LAYER = 5.0  # vectors of width D that a layer, without its MLP, stores per token for the backward pass
KEY = 2.0  # vectors of width D that attention stores for each key: the key and its value
FUSION = 10.0  # vectors of width D that the fusion of tags and geometry stores per token
FROZEN = 300_000_000  # bytes for one batch of images in a frozen image encoder
TAGS = 4.0  # tags of an entity
# Peak memory divided by the memory of the stored tensors. The rest is gradients, results that the backward pass of a
# layer computes again, and gaps between freed blocks. Estimated and measured memory of whole runs on a CPU in float32:
# preset `t` with 4 encoder and 2 predictor layers and 6,000 tokens 1.5 and 1.7 GB, `tiny` with 8 targets and 8,000
# tokens 0.9 and 0.8 GB, the same with a shared context 0.8 and 0.7 GB.
LAYERS_PEAK = 3.0
PEAK = 1.5


def activation_bytes(config: PretrainConfig, tokens: int) -> int:
    """Estimates the bytes of memory that activations and their gradients need in one training step.

    The estimate covers the tensors that the context encoder and the predictor store for the backward pass, and
    temporary buffers. The target encoder has no backward pass, so it needs only temporary buffers. All values count as
    float32. In bfloat16 on a GPU, they need half of this memory.

    Args:
        config: configuration of the training run.
        tokens: number of tokens in the batch.
    """
    model, pixels = config.model, config.masking.pixels
    context, rows, keys = _token_shares(config.masking, model.shared_context)
    ratio, recompute = model.mlp_ratio, config.train.recompute
    encoder = transformer_values(model.depth, model.embed_dim, ratio, context, context, recompute)
    predictor = transformer_values(model.predictor_depth, model.predictor_dim, ratio, rows, keys, recompute)
    buffers = (6 + 2 * model.mlp_ratio) * model.embed_dim
    values = LAYERS_PEAK * (encoder + predictor) + PEAK * (buffers + _tokenizer_values(model, pixels))
    return int(FLOAT * tokens * values) + FROZEN * pixels


def transformer_values(depth: int, width: int, mlp_ratio: float, tokens: float, keys: float, recompute: bool) -> float:
    """Estimates the number of values that all layers of a transformer store for the backward pass.

    Args:
        depth: number of layers.
        width: width D of the tokens.
        mlp_ratio: hidden width of the MLP, divided by D.
        tokens: number of tokens.
        keys: number of keys in attention, see `layer_values`.
        recompute: True if the backward pass computes the activations of each layer again. The layers then store one
            vector per token, and only the layer of which the gradient is computed stores all its values.
    """
    layer = layer_values(width, mlp_ratio, tokens, keys)
    return min(depth, 1) * layer + depth * width * tokens if recompute else depth * layer


def layer_values(width: int, mlp_ratio: float, tokens: float, keys: float) -> float:
    """Estimates the number of values that a transformer layer stores for the backward pass.

    Args:
        width: width D of the tokens.
        mlp_ratio: hidden width of the MLP, divided by D.
        tokens: number of tokens.
        keys: number of keys in attention. This is the number of tokens, unless several targets share a context.
    """
    return width * (tokens * (LAYER * PADDING + mlp_ratio) + keys * KEY * PADDING)


def _tokenizer_values(model: ModelConfig, pixels: bool) -> float:
    """Estimates the number of values that the tokenizer stores per token.

    Only geometry, images and learned weights of tags need a notable number of values.
    """
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


def _token_shares(masking: MaskingConfig, shared_context: bool) -> tuple[float, float, float]:
    """Estimates the numbers of tokens in the context encoder, of tokens in the predictor, and of keys in its attention.

    All three are divided by the number of tokens in the batch. The predictor can have more tokens than the batch: it
    reads one sequence for each target of a tile, with the tile's context tokens and the target's tokens. With a shared
    context, the predictor reads the context tokens only once, but attention copies their keys for each target.
    """
    target = max(masking.random_ratio, masking.area_high)
    least = max(masking.random_context, masking.area_context, masking.modality_context, masking.kind_context)
    context = max((1 - target) ** masking.num_targets, least)
    sequences = masking.num_targets * (context + target)
    if not shared_context:
        return context, sequences, sequences
    return context, context + masking.num_targets * target, context + sequences
