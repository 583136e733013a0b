"""Memory of a training step's activations."""

from __future__ import annotations

from geojepa_cli.config.schema import MaskingConfig, PretrainConfig

FLOAT = 4  # bytes
PADDING = 1.15  # rows of padded attention per token
LAYER = 9.0  # values of width D that a layer keeps per token for the backward pass, without its MLP
# Peak memory divided by that of the kept tensors: gradients of the layer in work, and gaps between freed blocks. On a
# CPU in float32, estimated and measured memory of whole runs: `t` with 4 + 2 layers 1.8 and 2.0 GB, `tiny` with 8
# targets and 8,000 tokens 1.0 and 0.9 GB, `ti` with 3 layers and 4,000 tokens 2.1 and 1.5 GB, `tiny` 0.2 and 0.4 GB.
PEAK = 1.5


def activation_bytes(config: PretrainConfig, tokens: int) -> int:
    """Estimates the memory of activations and their gradients in one step, in bytes.

    Counted are the tensors that the layers of context encoder and predictor keep for the backward pass, and the
    buffers of the target encoder, which keeps none.

    Args:
        config: of the run.
        tokens: of a batch.
    """
    model = config.model
    context, predicted = _token_shares(config.masking)
    per_layer = LAYER * PADDING + 2 * model.mlp_ratio
    encoder = context * model.depth * per_layer * model.embed_dim
    predictor = predicted * model.predictor_depth * per_layer * model.predictor_dim
    buffers = (6 + 2 * model.mlp_ratio) * model.embed_dim
    return int(PEAK * FLOAT * tokens * (encoder + predictor + buffers))


def _token_shares(masking: MaskingConfig) -> tuple[float, float]:
    """Returns tokens of the context encoder and of the predictor, per token of a batch.

    The predictor has one sequence per target: the context and the target's tokens.
    """
    target = max(masking.random_ratio, masking.area_high)
    least = max(masking.random_context, masking.area_context, masking.modality_context, masking.kind_context)
    context = max((1 - target) ** masking.num_targets, least)
    return context, masking.num_targets * (context + target)
