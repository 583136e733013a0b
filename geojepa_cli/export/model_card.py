"""Model card: Markdown text about a trained model, its training data, metrics, attribution and configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli.config.baselines import LmaeConfig, TagAEConfig
from geojepa_cli.config.families import TileConfig
from geojepa_cli.config.gair import GairConfig, GairModelConfig
from geojepa_cli.config.images import DRAWN_ATTRIBUTION, DRAWN_LABEL, RANDOM_LABEL
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig, PretrainConfig
from geojepa_cli.export.markdown import config_section, count_rows, join_sections

_METRICS = (
    "loss",
    "explained",
    "hidden",
    "visible",
    "prediction",
    "ground_to_image",
    "image_to_ground",
    "ground_to_location",
    "image_to_location",
    "first",
    "rankme_tiles",
    "rankme_tokens",
    "std_tiles",
    "std_tokens",
    "similarity_tokens",
    "probe",
    "knn",
)
_POOLINGS = {  # name, and number of values per dimension of a token
    "max_mean": ("max ‖ mean", 2),
    "counts": ("max ‖ mean ‖ mean · log n", 3),
    "sum": ("max ‖ mean ‖ sum", 3),
    "attention": ("attention of a trained query", 1),
}


def model_card(
    name: str,
    config: TileConfig,
    seed: int,
    inputs: Sequence[str],
    counts: Mapping[str, Any],
    last_line: Mapping[str, Any],
    attribution: Sequence[str],
) -> str:
    """Returns the model card of a trained model in Markdown. The same arguments always give the same text.

    Args:
        name: name of the model.
        config: configuration of the training run.
        seed: random seed of initial weights, tile order and masks.
        inputs: artifacts that the model was trained on, as `kind/name@id`.
        counts: numbers of tiles, tokens, steps and parameters, by name. The key `stopped_by` holds a text instead: the
            name of the limit that ended the run, such as `max_steps`.
        last_line: metrics in the last line of `metrics.jsonl`, by name.
        attribution: attribution lines of the training data.
    """
    metrics = [f"| {key} | {last_line[key]:.4g} |" for key in _METRICS if isinstance(last_line.get(key), (int, float))]
    sections = {
        name: [
            *_model_lines(config),
            *_first_weights(config),
            f"- Seed: {seed}",
            *drawn_lines(attribution),
        ],
        "Trained on": [*[f"- `{ref}`" for ref in inputs], "", "| | count |", "| --- | --- |", *count_rows(counts)],
        "Label-free figures at the end": [
            "They show whether the vectors collapsed, not whether they are good: `geojepa probe` does that.",
            "",
            "| figure | value |",
            "| --- | --- |",
            *metrics,
        ],
        "Limits": [
            "What the map leaves out, the model does not see; mapping is uneven between places, and so are the "
            "vectors. Entities are cut at the tile's border, and nothing beyond it is seen."
        ],
        "Attribution": [f"- {line}" for line in dict.fromkeys(attribution)],
        **config_section(config),
        "What it saw of tested tiles": [_tested_tiles(config)],
    }
    return join_sections(sections)


def _model_lines(config: TileConfig) -> list[str]:
    if isinstance(config, TagAEConfig):
        return _tag_ae_lines(config)
    if isinstance(config, LmaeConfig):
        return _lmae_lines(config)
    if isinstance(config, GairConfig):
        return _gair_lines(config)
    return _jepa_lines(config)


def _first_weights(config: TileConfig) -> list[str]:
    return [f"- Weights: {FIRST_WEIGHTS}. The model was not trained"] if config.train.max_steps == 0 else []


def _tag_ae_lines(config: TagAEConfig) -> list[str]:
    model = config.model
    return [
        "TagAE, a baseline: autoencoder of the tag counts of a tile (GeoJEPA thesis, section 7.4), on OpenStreetMap "
        "data. Made with `geojepa pretrain`.",
        "",
        f"- Tile vector: encoder's output, {model.embed_dim} values",
        f"- Entity vector: encoder's output for a tile with this entity alone, {model.embed_dim} values",
        f"- Input: log(1 + count) of the most frequent tags of the training tiles, at most {model.columns:,}",
    ]


def _lmae_lines(config: LmaeConfig) -> list[str]:
    model = config.model
    of_class = f"class token, {model.embed_dim} values"
    pooled = of_class if model.pooling == "class" else f"max ‖ mean over its entities, {2 * model.embed_dim} values"
    return [
        "TagformerLMAE, a baseline: masked autoencoder of the entities of a tile in latent space (GeoJEPA thesis, "
        "section 7.5), on OpenStreetMap data. Made with `geojepa pretrain`.",
        "",
        f"- Tile vector: {pooled}",
        f"- Entity vector: the encoder's token, {model.embed_dim} values",
        f"- Encoder: {model.depth} layers, {model.embed_dim} wide, {model.num_heads} heads; input: tags",
    ]


def _gair_lines(config: GairConfig) -> list[str]:
    model = config.model
    pooled = {"mean": "mean", "max_mean": "max ‖ mean"}[model.pooling]
    scales = ", ".join(f"{sigma:g}" for sigma in model.location_sigmas)
    features = f"Fourier features of the scales {scales}"
    if model.location_encoding == "harmonics":
        features = f"spherical harmonics to degree {model.harmonics_degree}"
    return [
        "GAIR: reads an image at any point, and aligns it with the map entities there and with the location (Liu et "
        "al. 2025). Made with `geojepa pretrain`.",
        "",
        f"- Tile vector: {pooled} over the overhead encoder's tokens, {model.tile_width} values",
        f"- Entity vector: read from the image at the entity, decoder `{model.decoder}`, {model.embed_dim} values; it "
        "does not depend on the entity's tags",
        f"- Place vector of an entity: from its longitude and latitude alone, {model.embed_dim} values",
        f"- Overhead encoder: {model.depth} layers, {model.embed_dim} wide, {model.num_heads} heads; "
        f"{model.grid} × {model.grid} cells per image",
        f"- Ground encoder: tags, kind and size of an entity; location encoder: {features}",
        *([_photo_line(config)] if config.ground.photos else []),
    ]


def _photo_line(config: GairConfig) -> str:
    ground = config.ground
    layers = f"{ground.photo_depth} layers, {config.model.embed_dim} wide, patches of {ground.photo_patch_px} px"
    return f"- Photos: pixels, heading and field of view of street-level photos, never their place; {layers}"


def _jepa_lines(config: PretrainConfig) -> list[str]:
    model = config.model
    pooled, width = _POOLINGS[model.pooling]
    letters = {Modality.GEOMETRY: "G", Modality.TAGS: "T", Modality.IMAGE: "I"}
    kind = "GeoJEPA-" + "".join(letter for modality, letter in letters.items() if modality in model.modalities)
    geometry = f"- Geometry encoder: {model.geometry_encoder} {model.geometry_version or '(unknown version)'}, "
    return [
        f"{kind}: embeddings of map tiles and map entities by masked latent prediction (JEPA) on OpenStreetMap "
        "data. Made with `geojepa pretrain`.",
        "",
        f"- Tile vector: {pooled} over the target encoder's tokens, {width * model.embed_dim} values",
        *([f"  ‖ summary of this vector, {model.summary_dim} values"] if model.summary_dim else []),
        *([f"  ‖ sketch of the tile's tags, {model.sketch_dim} values, not trained"] if model.sketch_dim else []),
        f"- Entity vector: the target encoder's token, {model.embed_dim} values",
        f"- Encoder: {model.depth} layers, {model.embed_dim} wide, {model.num_heads} heads; "
        f"input: {', '.join(model.modalities)}",
        *([f"{geometry}{model.geometry_dim} values"] if Modality.GEOMETRY in model.modalities else []),
        *_image_lines(model),
    ]


def _image_lines(model: ModelConfig) -> list[str]:
    form = model.frozen_images
    if form is None:
        return []
    version = RANDOM_LABEL if model.random_images else model.image_version or "unknown version"
    return [f"- Image encoder: {model.image_encoder} ({version}), frozen, {form.tokens} tokens of {form.dim} values"]


def drawn_lines(attribution: Sequence[str]) -> list[str]:
    """Returns a line that marks a model that was trained on drawn images; usually empty.

    Args:
        attribution: attribution lines of the training data.
    """
    return (
        [f"- Images: {DRAWN_LABEL}, made from the map; no aerial imagery"] if DRAWN_ATTRIBUTION in attribution else []
    )


def tile_width(config: TileConfig) -> int:
    """Returns the number of values of a tile vector of a model with this configuration."""
    model = config.model
    if isinstance(model, GairModelConfig):
        return model.tile_width
    if isinstance(model, ModelConfig):
        return _POOLINGS[model.pooling][1] * model.embed_dim + model.summary_dim + model.sketch_dim
    if isinstance(config, LmaeConfig) and config.model.pooling == "max_mean":
        return 2 * model.embed_dim
    return model.embed_dim


def tiles_left_out(config: TileConfig) -> str | None:
    """Returns the tiles that a training run with this configuration does not use. None if it uses all tiles."""
    data = config.data
    if data.fold is not None:  # then the test split is not left out
        fold = f"fold {data.fold} of {data.folds} by seed {data.split_seed}"
        return f"the groups of {fold}, and the zoom-14 tiles next to them"
    return f"the test groups of the split by seed {data.split_seed}" if data.exclude_test_groups else None


def _tested_tiles(config: TileConfig) -> str:
    """Returns the section of the model card that states which tested tiles were used for training."""
    left_out = tiles_left_out(config)
    trained = f"without {left_out}, and without any label" if left_out else "on all groups, and without any label"
    if config.train.max_steps == 0:
        counted = f" The tags that it counts were chosen {trained}." if isinstance(config, TagAEConfig) else ""
        return f"It was not trained: its weights are random, and do not depend on any tile or label.{counted}"
    if config.data.fold is not None:
        return f"It was trained {trained}. It saw tiles of the other folds, which contain test groups of the split."
    return (
        f"It was trained {trained}. A probe that is cross-validated over groups of the same regions tests all of them: "
        "also tiles that the model saw."
    )
