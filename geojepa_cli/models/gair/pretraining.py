"""Pretraining of GAIR: aligns an image, read at a point, with the entity at this point and with its location."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from geojepa_cli.config.gair import GairConfig
from geojepa_cli.models.base import BatchVectors, FrozenInputs, StepLosses
from geojepa_cli.models.gair.build import bind_tags, build_gair
from geojepa_cli.models.gair.gair import EMPTY_IMAGES, Gair, GairInput, Ground
from geojepa_cli.models.gair.losses import gair_losses
from geojepa_cli.models.gair.photo_queries import add_photos
from geojepa_cli.models.gair.queries import draw_queries, hash_tags, split_rows
from geojepa_cli.models.gair.vectors import entity_vectors, ground_vectors, tile_tokens
from geojepa_cli.models.jepa.memory import FLOAT, LAYERS_PEAK, PEAK, transformer_values
from geojepa_cli.nn.inr import UNFOLDED
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.photo_table import PhotoTable

POINTS = 8.0  # values per query and unfolded feature: four cells, and their gradients


class GairPretraining:
    """GAIR model with its losses, for the training loop. Implements `Pretrainable` and `Collecting`.

    Args:
        module: model to train.
        config: configuration of the training run.
        inputs: text embeddings of tags, on the model's device.
    """

    def __init__(self, module: Gair, config: GairConfig, inputs: FrozenInputs) -> None:
        self.needs = config.training_needs
        self.module = module
        self._config = config
        self._inputs = inputs
        self._tag_hashes = hash_tags(inputs.tag_list).to(inputs.device)
        self._photos = _photos(config, inputs)
        self._kernel = config.train.precision == "bfloat16" and inputs.device.type == "cuda"

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Draws the points at which the images are read. Returns a function that computes the losses."""
        prepared = self.prepare_input(batch, rng)
        return lambda: self._losses(prepared)

    @torch.no_grad()
    def prepare_input(self, batch: TileBatch, rng: torch.Generator) -> GairInput:
        """Draws entities and a point on the geometry of each."""
        settings = self._config.ground
        noise_m = settings.coordinate_noise_m
        queries = draw_queries(batch, settings.queries, noise_m, self._tag_hashes, rng)
        ground, photos = Ground.of(batch, queries.entity), None
        if self._photos is not None:
            queries, photos = add_photos(queries, batch, self._photos, settings.photo_queries, noise_m, rng)
        images = batch.images if batch.images is not None else batch.box.new_zeros(EMPTY_IMAGES, dtype=torch.uint8)
        layout = self.module.overhead.layout(len(images), images.device)
        if not self._kernel:
            _ = layout.padded  # in advance, so that the training step does not wait for it
        return GairInput(images, layout, queries, ground, photos)

    def _losses(self, batch: GairInput) -> StepLosses:
        output = self.module(batch, self._inputs.tag_table)
        with torch.autocast(self._inputs.device.type, enabled=False):
            losses = gair_losses(output, batch.queries, self.module.queue, self._config.loss)
        parts = {name: value.detach() for name, value in losses.items()}
        tokens = len(batch.images) * self._config.model.tokens_per_image + len(batch.queries.entity)
        if batch.photos is not None:
            tokens += len(batch.photos) * self._config.ground.photo_patches
        return StepLosses(losses["loss"], parts, tokens, batch.queries.rows())

    def collect(self, rows: Tensor) -> None:
        """Pushes the places of a step, of all its batches, to the queue."""
        self.module.queue.push(*split_rows(rows))

    def finish_step(self, progress: float) -> None:
        """Does nothing, because the optimiser updates all weights of this model, and `collect` the queue."""

    def embed(self, batch: TileBatch) -> BatchVectors:
        """Computes vectors for the monitor.

        The vector of an entity is the concatenation of what is read from the image and what its tags say, so that the
        monitor sees a collapse of either, and the use of images and of tags.
        """
        tokens = tile_tokens(self.module, batch)
        local = entity_vectors(self.module, batch, tokens, points=1).local
        ground = ground_vectors(self.module, batch, self._inputs.tag_table)
        return BatchVectors(torch.cat([local, ground], dim=1), self.module.tiles(tokens, batch), tokens.flatten(0, 1))

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory for activations in one training step, in bytes. The batch has `tokens` tokens."""
        model, loss = self._config.model, self._config.loss
        width, ratio, recompute = model.embed_dim, model.mlp_ratio, self._config.train.recompute
        layers = transformer_values(model.depth, width, ratio, tokens, tokens, recompute)
        ground = self._config.ground
        queries = ground.queries
        if ground.photos:
            patches = ground.photo_queries * ground.photo_patches
            layers += transformer_values(ground.photo_depth, width, ratio, patches, patches, recompute)
            queries += ground.photo_queries
        points = POINTS * queries * (UNFOLDED * model.embed_dim + 2 * model.decoder_dim)
        places = (queries + loss.queue) * self._location_values()
        scores = 4 * queries * (queries + 2 * loss.queue)
        return int(FLOAT * (LAYERS_PEAK * layers + PEAK * (points + places + scores)))

    def _location_values(self) -> float:
        """Returns the number of values that the location encoder stores per place."""
        model = self._config.model
        scales = len(model.location_sigmas) if model.location_encoding == "fourier" else 1
        width = 8 * model.location_features if model.location_encoding == "fourier" else 3 * model.harmonics_degree**2
        return scales * (width + 2 * model.location_layers * model.location_dim + model.embed_dim)

    def parameter_counts(self) -> dict[str, int]:
        """Returns a dict with the numbers of parameters of the overhead encoder and of the other parts."""
        module, has_photos = self.module, self.module.photo is not None
        return {
            "parameters": _count(module.overhead),
            "interpolation_parameters": _count(module.interpolation),
            "ground_parameters": _count(module.ground) + _count(module.head),
            "location_parameters": _count(module.location),
            **({"photo_parameters": _count(module.photo) + _count(module.photo_head)} if has_photos else {}),
        }


def _count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def _photos(config: GairConfig, inputs: FrozenInputs) -> PhotoTable | None:
    """Returns the photos to train on. None if the configuration has none."""
    if not config.ground.photos:
        return None
    if inputs.photos is None:
        raise ValueError("the configuration has `ground.photos`: pass the photos of the regions")
    return inputs.photos


def build(config: GairConfig, inputs: FrozenInputs, seed: int) -> GairPretraining:
    """Returns an untrained GAIR model for the training loop, on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: text embeddings and names of tags.
        seed: random seed of the initial weights.
    """
    module = build_gair(config, seed).to(inputs.device)
    bind_tags(module, config.model, inputs)
    return GairPretraining(module, config, inputs)
