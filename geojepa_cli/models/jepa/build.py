"""Builds the modules of a GeoJEPA model from a configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from geojepa_cli.config.modality import Modality, count_numbers
from geojepa_cli.config.schema import MaskingConfig, ModelConfig, PretrainConfig
from geojepa_cli.models.jepa.encoder import Encoder, TileEncoder
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.predictor import Predictor, TilePredictor
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer, Tokenizer, TokenNumbers

NUMBERS = TokenNumbers(entity=Modality.TAGS.number, image=Modality.IMAGE.number)


def build_jepa(config: ModelConfig, seed: int) -> Jepa:
    """Returns an untrained GeoJEPA model: context encoder, target encoder and predictors.

    Args:
        config: architecture of the model.
        seed: random seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, predictor = build_encoder(config), build_predictor(config)
        tiles = TilePredictor(config.embed_dim).apply(init_weights) if config.predict_tile else None
        model = Jepa(encoder, predictor, tiles)
    if config.freeze_tags:
        tokenizer = model.context_encoder.tokens.tokenizer
        for part in (tokenizer.tags, tokenizer.tags_norm):
            part.requires_grad_(False)
    return model


def build_encoder(config: ModelConfig) -> TileEncoder:
    """Returns an untrained tile encoder: tokenizer, positional encoding and transformer."""
    patch_px = config.patch_px if Modality.IMAGE in config.modalities else 0
    tokenizer = Tokenizer(config.tag_dim, config.embed_dim, NUMBERS, patch_px)
    position = _position(config, config.embed_dim)
    transformer = Transformer(
        config.embed_dim, config.depth, config.num_heads, config.mlp_ratio, config.input_weight, config.null_weight
    )
    encoder = Encoder(transformer, config.embed_dim, config.num_register_tokens)
    module = TileEncoder(TileTokenizer(tokenizer, position), encoder)
    return module.apply(init_weights)


def build_predictor(config: ModelConfig) -> Predictor:
    """Returns an untrained predictor, which predicts the vectors of hidden tokens."""
    width = config.predictor_dim
    transformer = Transformer(
        width, config.predictor_depth, config.predictor_heads, config.mlp_ratio, null_weight=config.null_weight
    )
    return Predictor(config.embed_dim, width, transformer, _position(config, width)).apply(init_weights)


def mask_rates(config: MaskingConfig) -> MaskRates:
    """Returns the parameters of the masks that hide tokens, from the section `masking` of a configuration."""
    return MaskRates(**config.model_dump(), entity=NUMBERS.entity)


def modality_weights(config: PretrainConfig, device: torch.device) -> Tensor:
    """Returns the weight of each modality in the prediction loss. Modalities without a configured weight get 1.

    Returns:
        Weights, indexed by modality id. [modalities]
    """
    weights = config.loss.modality_weights
    numbered = list(Modality)[: count_numbers(config.model.modalities)]
    return torch.tensor([weights.get(modality, 1.0) for modality in numbered], device=device)


def _position(config: ModelConfig, width: int) -> PositionEncoding:
    return PositionEncoding(width, count_numbers(config.modalities), rectangle=config.position == "rectangle")
