"""Builds the modules of a GAIR model from a configuration."""

from __future__ import annotations

import torch

from geojepa_cli.config.gair import GairConfig, GairModelConfig
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.overhead import OverheadEncoder
from geojepa_cli.nn.inr import LocalInterpolation
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.location import LocationEncoder
from geojepa_cli.nn.tokens.ground import EntityGround
from geojepa_cli.nn.tokens.photo import PhotoGround
from geojepa_cli.tags.places import tag_weights


def build_gair(config: GairConfig, seed: int) -> Gair:
    """Returns an untrained GAIR model.

    Args:
        config: configuration of the model and of its losses.
        seed: random seed of the initial weights, and of the frequencies of the location encoder.
    """
    model, dim = config.model, config.model.embed_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = Transformer(dim, model.depth, model.num_heads, model.mlp_ratio)
        module = Gair(
            OverheadEncoder(transformer, dim, model.patch_px).apply(init_weights),
            LocalInterpolation(dim, dim, model.decoder, model.decoder_dim).apply(init_weights),
            EntityGround(model.tag_dim, dim).apply(init_weights),
            _build_location(model),
            dim,
            config.loss.queue,
            model.pooling,
            anchored=config.loss.anchor_weight > 0,
        )
        if config.ground.photos:  # last, so that the other initial weights do not depend on it
            module.add_photos(_build_photo(config))
        return module


def _build_photo(config: GairConfig) -> PhotoGround:
    model, ground = config.model, config.ground
    transformer = Transformer(model.embed_dim, ground.photo_depth, model.num_heads, model.mlp_ratio)
    return PhotoGround(transformer, model.embed_dim, ground.photo_patch_px).apply(init_weights)


def _build_location(model: GairModelConfig) -> LocationEncoder:
    """Returns an untrained location encoder. Its layers have the initial weights of PyTorch, as in GeoCLIP."""
    sigmas = model.location_sigmas if model.location_encoding == "fourier" else ()
    sizes = model.location_features, model.location_dim, model.location_layers
    return LocationEncoder(model.embed_dim, sigmas, *sizes, model.harmonics_degree)


def bind_tags(module: Gair, config: GairModelConfig, inputs: FrozenInputs) -> None:
    """Sets the weights of a dataset's tags in the ground encoders, if `place_weight` is not 1.

    Args:
        module: model.
        config: architecture of the model.
        inputs: the dataset's tags, and the device of the weights.
    """
    if config.place_weight == 1:
        return
    weights = torch.tensor(tag_weights(inputs.tag_list.keys, config.place_weight), device=inputs.device)
    for part in (module.ground, module.anchor_ground):
        if part is not None:
            part.tag_weights = weights
