"""From a configuration to modules."""

from __future__ import annotations

import torch
from torch import Tensor

from geojepa_cli.config.schema import MODALITIES, LossConfig, MaskingConfig, ModelConfig
from geojepa_cli.models.jepa.encoder import Encoder, TileEncoder
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.predictor import Predictor, TilePredictor
from geojepa_cli.nn.layers.transformer import Transformer, init_weights
from geojepa_cli.nn.masks.draw import MaskRates
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer, Tokenizer


def build_jepa(config: ModelConfig, seed: int) -> Jepa:
    """The whole model with its first weights, a function of the seed alone."""
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
    """Tokenizer and transformer of one side."""
    tokenizer = Tokenizer(config.tag_dim, config.embed_dim, config.patch_px if "image" in config.modalities else 0)
    position = PositionEncoding(config.embed_dim, rectangle=config.position == "rectangle")
    transformer = Transformer(
        config.embed_dim, config.depth, config.num_heads, config.mlp_ratio, config.input_weight, config.null_weight
    )
    encoder = Encoder(transformer, config.embed_dim, config.num_register_tokens)
    module = TileEncoder(TileTokenizer(tokenizer, position), encoder)
    return module.apply(init_weights)


def build_predictor(config: ModelConfig) -> Predictor:
    """The predictor."""
    width = config.predictor_dim
    transformer = Transformer(
        width, config.predictor_depth, config.predictor_heads, config.mlp_ratio, null_weight=config.null_weight
    )
    position = PositionEncoding(width, rectangle=config.position == "rectangle")
    return Predictor(config.embed_dim, width, transformer, position).apply(init_weights)


def mask_rates(config: MaskingConfig) -> MaskRates:
    """The masks' rates as the model takes them."""
    return MaskRates(**config.model_dump())


def modality_weights(config: LossConfig, device: torch.device) -> Tensor:
    """Weights of the losses in the order of the modalities' numbers; 1 where none is given."""
    return torch.tensor([config.modality_weights.get(name, 1.0) for name in MODALITIES], device=device)
