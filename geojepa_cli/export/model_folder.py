"""Folder of a model as the Hugging Face Hub stores models: weights, configuration, and a card with a YAML header."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import dump_config
from geojepa_cli.config.names import CARD, CONFIG
from geojepa_cli.export.markdown import FENCE, with_header
from geojepa_cli.export.model_card import tile_width
from geojepa_cli.export.shipped_card import Figure, card_header
from geojepa_cli.export.stac import ITEM_FILE
from geojepa_cli.export.stac_model import QUEUE, PublishedModel, count_weights, model_item
from geojepa_cli.tasks.trained_groups import FILE as TRAINED_GROUPS

WEIGHTS_FILE, CONFIG_JSON, README = "model.safetensors", "config.json", "README.md"
MODEL_FILES = (WEIGHTS_FILE, CONFIG, CONFIG_JSON, README, ITEM_FILE)


@dataclass(frozen=True)
class ModelSource:
    """A trained model in the folder of its artifact, or in the package.

    Attributes:
        ref: reference to the model, `name@id`.
        folder: folder of the model.
        weights: name of its file with weights.
        config: configuration of its training run.
        regions: names of the regions that it was trained on.
        attribution: attribution lines of the training data.
        text_encoder: name of the text encoder whose tag embeddings it reads; None if it reads none.
        figures: measured scores.
    """

    ref: str
    folder: Path
    weights: str
    config: RunConfig
    regions: Sequence[str]
    attribution: Sequence[str]
    text_encoder: str | None
    figures: Sequence[Figure]


def write_model_folder(source: ModelSource, folder: Path) -> dict[str, int]:
    """Writes the folder of a model. `config.yaml` and, except for a GAIR model, the weights are copies.

    A GAIR model has the last places of its training in a queue, such as those of private photos. They are removed.

    Returns:
        Numbers of weights and of measured scores, by name.
    """
    if isinstance(source.config, GairConfig):
        _write_without_places(source.folder / source.weights, folder / WEIGHTS_FILE)
    else:
        shutil.copyfile(source.folder / source.weights, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)
    shutil.copyfile(source.folder / CONFIG, folder / CONFIG)
    if (source.folder / TRAINED_GROUPS).is_file():
        shutil.copyfile(source.folder / TRAINED_GROUPS, folder / TRAINED_GROUPS)
    parameters = count_weights(folder / WEIGHTS_FILE)
    _write_json(folder / CONFIG_JSON, config_json(source.config))
    (folder / README).write_text(_readme(source), encoding="utf-8")
    model = PublishedModel(source.ref, source.config, parameters, source.regions, source.attribution)
    others = {"config": (CONFIG, "application/yaml"), "card": (README, "text/markdown")}
    more = {key: {"href": f"./{name}", "type": kind, "roles": ["metadata"]} for key, (name, kind) in others.items()}
    _write_json(folder / ITEM_FILE, model_item(model, f"./{WEIGHTS_FILE}", more))
    return {"parameters": parameters, "scores": len(source.figures)}


def _write_without_places(weights: Path, path: Path) -> None:
    """Writes the weights of a GAIR model with an empty queue of places."""
    import torch

    from geojepa_cli.store.tensors import read_tensors, save_tensors

    tensors, metadata = read_tensors(weights)
    emptied = {name: torch.zeros_like(one) if name.startswith(QUEUE) else one for name, one in tensors.items()}
    save_tensors(path, emptied, metadata)


def config_json(config: RunConfig) -> dict[str, Any]:
    """Returns the content of `config.json`: the configuration, with the keys that the Hub reads."""
    return {"library_name": "geojepa", "model_type": config.family, **yaml.safe_load(dump_config(config))}


def _readme(source: ModelSource) -> str:
    """Returns the card of the model. A card without a YAML header gets one."""
    card = (source.folder / CARD).read_text(encoding="utf-8")
    if card.startswith(FENCE):
        return card
    config = source.config
    geometry = isinstance(config, GeometryConfig)
    return with_header(
        card_header(
            source.ref.partition("@")[0],
            "apache-2.0" if geometry else "odbl",
            _description(card),
            config.model.dim if isinstance(config, GeometryConfig) else tile_width(config),
            source.text_encoder,
            source.regions,
            source.attribution,
            source.figures,
            config.family,
        ),
        card,
    )


def _description(card: str) -> str:
    """Returns the first sentence of a card, without `Made with …`."""
    text = card.partition("\n\n")[2].partition("\n\n")[0].replace("\n", " ")
    return text.partition(" Made with ")[0].rstrip(".")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
