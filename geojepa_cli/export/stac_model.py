"""STAC item of a model, with the Machine Learning Model extension (MLM) 1.5."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geojepa_cli.config.baselines import TagAEConfig
from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import IMAGE_PX, ModelConfig, PretrainConfig
from geojepa_cli.export.model_card import tile_width
from geojepa_cli.export.stac import LICENSE, UNKNOWN_DATES, VERSION, Json, interval, providers, rectangle

MLM = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json"
_ARCHITECTURES = {
    "jepa": "GeoJEPA",
    "gair": "GAIR",
    "polygon_gnn": "PolygonGNN",
    "tag_ae": "TagAE",
    "tagformer_lmae": "TagformerLMAE",
}
QUEUE = "queue."  # first part of the names of tensors with places of a training, in GAIR models
_WORLD = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class PublishedModel:
    """Facts about a trained model.

    Attributes:
        ref: reference to the model, `name@id`.
        config: configuration of its training run.
        parameters: number of its weights.
        regions: names of the regions that it was trained on.
        attribution: attribution lines of the training data.
    """

    ref: str
    config: RunConfig
    parameters: int
    regions: Sequence[str]
    attribution: Sequence[str]


def model_item(model: PublishedModel, weights: str, more: Mapping[str, Json] | None = None) -> Json:
    """Returns the STAC item of a model.

    Args:
        model: facts about the model.
        weights: address of the file with its weights.
        more: further assets, by key.
    """
    name = model.ref.partition("@")[0]
    properties: Json = {
        **interval(UNKNOWN_DATES),
        "title": model.ref,
        "license": LICENSE,
        "providers": providers(model.attribution),
        "mlm:name": name if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", name) else f"model {name}-geojepa",
        "mlm:architecture": _ARCHITECTURES[model.config.family],
        "mlm:tasks": ["similarity-search"],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": model.parameters,
        "mlm:pretrained": True,
        "mlm:pretrained_source": f"OpenStreetMap data of {', '.join(model.regions)}" if model.regions else "fonts",
        "mlm:input": _inputs(model.config),
        "mlm:output": _outputs(model.config),
    }
    asset = {
        "href": weights,
        "type": "application/octet-stream; application=safetensors",
        "title": f"weights of {model.ref}",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors.torch.save_file",
    }
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [MLM],
        "id": model.ref.replace("@", "-"),
        "bbox": list(_WORLD),
        "geometry": rectangle(_WORLD),
        "properties": properties,
        "links": [],
        "assets": {"weights": asset, **(more or {})},
    }


def _inputs(config: RunConfig) -> list[Json]:
    if isinstance(config, PretrainConfig):
        return _jepa_inputs(config.model)
    if isinstance(config, GairConfig):
        return [_image(), _tensor("nodes of entities", "input", [-1, 2], ["node", "coordinate"])]
    if isinstance(config, GeometryConfig):
        return [_tensor("nodes of a polygon", "input", [-1, 2], ["node", "coordinate"])]
    if isinstance(config, TagAEConfig):
        return [_tensor("tag counts of a tile", "input", [-1, config.model.columns], ["batch", "tag"])]
    return [_tensor("text embeddings of tags", "input", [-1, config.model.tag_dim], ["token", "embedding"])]


def _jepa_inputs(model: ModelConfig) -> list[Json]:
    found = [
        _tensor("text embeddings of tags", "input", [-1, model.tag_dim], ["token", "embedding"]),
        _tensor("corners of the bounding rectangles of entities", "input", [-1, 8], ["token", "coordinate"]),
    ]
    if Modality.GEOMETRY in model.modalities:
        found.append(_tensor("geometry vectors", "input", [-1, model.geometry_dim], ["token", "embedding"]))
    if (form := model.frozen_images) is not None:
        axes = ["batch", "token", "embedding"]
        found.append(_tensor(f"image tokens of {model.image_encoder}", "input", [-1, form.tokens, form.dim], axes))
    elif Modality.IMAGE in model.modalities:
        found.append(_image())
    return found


def _image() -> Json:
    shape, axes = [-1, 3, IMAGE_PX, IMAGE_PX], ["batch", "channel", "height", "width"]
    return _tensor("red, green and blue of an aerial image", "input", shape, axes, "uint8")


def _outputs(config: RunConfig) -> list[Json]:
    width = config.model.dim if isinstance(config, GeometryConfig) else config.model.embed_dim
    found = [] if isinstance(config, GeometryConfig) else [("tile vector", tile_width(config), ["batch", "embedding"])]
    found.append(("entity vector", width, ["token", "embedding"]))
    if isinstance(config, GairConfig):
        found.append(("place vector of an entity", width, ["token", "embedding"]))
    tasks = {"tasks": ["similarity-search"]}
    return [tasks | _tensor(name, "result", [-1, size], axes) for name, size, axes in found]


def _tensor(name: str, key: str, shape: list[int], axes: list[str], dtype: str = "float32") -> Json:
    return {"name": name, "bands": [], key: {"shape": shape, "dim_order": axes, "data_type": dtype}}


def count_weights(path: Path) -> int:
    """Returns the number of weights in a safetensors file, from its header. The places of a training do not count."""
    from math import prod

    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        names = list(file.keys())
        return sum(prod(file.get_slice(name).get_shape()) for name in names if not name.startswith(QUEUE))
