"""Computes embeddings of tiles and entities with a trained GeoJEPA model."""

from __future__ import annotations

from pathlib import Path

from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.jepa.build import bind_tags, build_encoder
from geojepa_cli.models.jepa.encoder import TileEncoder
from geojepa_cli.models.jepa.inputs import check_geometry, check_images
from geojepa_cli.models.numbers import with_numbers
from geojepa_cli.models.published import matching_weights, read_model
from geojepa_cli.models.sketch import append_sketch, tag_sketch
from geojepa_cli.nn.sketch import TagSketch
from geojepa_cli.store.batch import TileBatch


class JepaEmbedder:
    """Computes embeddings with the target encoder of a trained GeoJEPA model.

    Args:
        encoder: target encoder, on the device of `inputs`.
        needs: modalities that the encoder reads.
        inputs: text embeddings of tags.
        sketch: sketch that follows the encoder's tile vectors. None: no sketch.
    """

    name = "jepa"

    def __init__(
        self, encoder: TileEncoder, needs: Needs, inputs: FrozenInputs, sketch: TagSketch | None = None
    ) -> None:
        self.needs = needs
        self.encoder = encoder
        self._inputs = inputs
        self._sketch = sketch

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D] and tiles [B, W]."""
        return append_sketch(self.encoder(batch, self._inputs.tag_table), self._sketch, batch)


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> JepaEmbedder:
    """Loads a trained GeoJEPA model to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: text embeddings of tags, on the device to compute on, and encoders of the geometry vectors and image
            tokens. Without geometry vectors, a model with geometry uses its learned vector for missing geometry.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
        FeatureMismatchError: the geometry vectors or image tokens of `inputs` are of another encoder, version or width
            than those that the model was trained on.
    """
    tensors, config = read_model(folder, weights)
    if inputs.geometry is not None and Modality.GEOMETRY in config.needs:
        check_geometry(config.model, inputs.geometry)
    if inputs.images is not None and config.model.frozen_images is not None:
        check_images(config.model, inputs.images)
    encoder = build_encoder(config.model)
    prefix = "target_encoder."
    target = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    with matching_weights(folder / weights):
        encoder.load_state_dict(target)
    bind_tags(encoder, config.model, inputs)
    inputs = with_numbers(inputs, config.model.number_weight)
    encoder = encoder.requires_grad_(False).eval().to(inputs.device)
    return JepaEmbedder(encoder, config.needs, inputs, tag_sketch(inputs, config.model.sketch_dim))
