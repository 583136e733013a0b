"""Builds the modules of a GeoJEPA model from a configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.config.loss import LossConfig
from geojepa_cli.config.masking import MaskingConfig
from geojepa_cli.config.modality import Modality, count_numbers
from geojepa_cli.config.schema import ModelConfig, PretrainConfig
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.encoder import Encoder, TileEncoder
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.predictor import Predictor, TilePredictor
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.pooling import build_pooling
from geojepa_cli.nn.summary import TagPredictor, TileSummary
from geojepa_cli.nn.tokens.image import FrozenForm
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer, Tokenizer, TokenizerSizes, TokenNumbers, weigh_tags
from geojepa_cli.tags.frequent import frequent_tags
from geojepa_cli.tags.places import tag_weights

NUMBERS = TokenNumbers(entity=Modality.TAGS.number, image=Modality.IMAGE.number)


def build_jepa(config: ModelConfig, seed: int, loss: LossConfig | None = None) -> Jepa:
    """Returns an untrained GeoJEPA model: context encoder, target encoder and predictors.

    Args:
        config: architecture of the model.
        seed: random seed of the initial weights.
        loss: settings of the loss. Some of them require more modules: a tokenizer that computes targets, or a Gram
            teacher.
    """
    loss = loss or LossConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, predictor = build_encoder(config), build_predictor(config)
        tiles = None
        if config.predict_tile:
            tiles = TilePredictor(config.embed_dim, encoder.pool.width).apply(init_weights)
        targets = build_tokenizer(config).apply(init_weights) if loss.targets == "random_projection" else None
        tags = None
        if config.summary_dim:
            tags = TagPredictor(config.summary_dim, len(frequent_tags())).apply(init_weights)
        gram = loss.gram_weight > 0
        model = Jepa(
            encoder,
            predictor,
            tiles,
            targets,
            gram=gram,
            shared=config.shared_context,
            tag_predictor=tags,
            whole_tags=loss.whole_tag_share > 0,
        )
    if config.freeze_tags:
        tokenizer = model.context_encoder.tokens.tokenizer
        for part in (tokenizer.tags, tokenizer.tags_norm):
            part.requires_grad_(False)
    return model


def build_encoder(config: ModelConfig) -> TileEncoder:
    """Returns an untrained tile encoder: tokenizer, positional encoding and transformer."""
    tokenizer = build_tokenizer(config)
    position = _position(config, config.embed_dim)
    transformer = Transformer(
        config.embed_dim, config.depth, config.num_heads, config.mlp_ratio, config.input_weight, config.null_weight
    )
    encoder = Encoder(transformer, config.embed_dim, config.num_register_tokens)
    pool = build_pooling(config.pooling, config.embed_dim, config.num_heads)
    summary = TileSummary(pool.width, config.summary_dim) if config.summary_dim else None
    module = TileEncoder(TileTokenizer(tokenizer, position), encoder, pool, summary)
    return module.apply(init_weights)


def build_tokenizer(config: ModelConfig) -> Tokenizer:
    """Returns an untrained tokenizer."""
    sizes = TokenizerSizes(
        config.tag_dim,
        config.embed_dim,
        geometry_dim=config.geometry_dim if Modality.GEOMETRY in config.modalities else 0,
        residual_fusion=config.fusion == "residual",
        patch_px=config.patch_px if Modality.IMAGE in config.modalities else 0,
        frozen=FrozenForm(*config.frozen_images) if config.frozen_images else None,
        weight_tags=config.tag_weighting == "learned",
        modality_dropout=config.modality_dropout,
    )
    return Tokenizer(sizes, NUMBERS)


def build_predictor(config: ModelConfig) -> Predictor:
    """Returns an untrained predictor, which predicts the vectors of hidden tokens."""
    width = config.predictor_dim
    transformer = Transformer(
        width, config.predictor_depth, config.predictor_heads, config.mlp_ratio, null_weight=config.null_weight
    )
    return Predictor(config.embed_dim, width, transformer, _position(config, width)).apply(init_weights)


def bind_tags(module: nn.Module, config: ModelConfig, inputs: FrozenInputs) -> None:
    """Sets the weights of a dataset's tags in all tokenizers of a module, if `place_weight` is not 1.

    Args:
        module: module whose tokenizers read the tags.
        config: architecture of the model.
        inputs: the dataset's tags, and the device of the weights.
    """
    if config.place_weight != 1:
        weights = tag_weights(inputs.tag_list.keys, config.place_weight)
        weigh_tags(module, torch.tensor(weights, device=inputs.device))


def mask_rates(config: MaskingConfig) -> MaskRates:
    """Returns the parameters of the masks that hide tokens, from the section `masking` of a configuration."""
    return MaskRates(**config.model_dump(exclude={"pixels"}), entity=NUMBERS.entity)


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
