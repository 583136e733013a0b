"""Model card of a model that comes with the package: Markdown with a YAML header that programs can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.config.yaml import describe_yaml_error, parse_yaml
from geojepa_cli.errors import DataError
from geojepa_cli.export.markdown import FENCE, config_section, count_rows, join_sections, with_header
from geojepa_cli.export.model_card import drawn_lines, tiles_left_out

_LABEL_FREE = ("loss", "prediction", "rankme", "std", "similarity")  # beginnings of names in `metrics.jsonl`
_CONTEXT = "a vector depends on its tile only; entities are cut at the tile's border"


class Figure(NamedTuple):
    """A measured score of a model.

    Attributes:
        task: name of the task, such as `max_speed, masked`.
        dataset: data on which the score was measured, such as `helsinki-center`.
        metric: name of the score, such as `MAE / Dummy`.
        value: the score.
    """

    task: str
    dataset: str
    metric: str
    value: float


@dataclass(frozen=True)
class ShippingFacts:
    """Facts about a model that its weights and configuration do not contain.

    Attributes:
        name: name of the model.
        regions: names of the regions that the model was trained on.
        command: command that trains the model.
        attribution: attribution lines of the training data.
        text_encoder: name of the text encoder whose tag embeddings the model reads.
        counts: numbers of tiles, tokens, steps and parameters, by name. Empty if unknown.
        figures: measured scores.
    """

    name: str
    regions: Sequence[str]
    command: str
    attribution: Sequence[str]
    text_encoder: str
    counts: Mapping[str, Any]
    figures: Sequence[Figure] = ()


class CardHeader(NamedTuple):
    """Entries of a card's header that `embed`, `probe` and `knn` use.

    Attributes:
        regions: names of the regions that the model was trained on.
        attribution: attribution lines of the training data.
        text_encoder: name of the text encoder whose tag embeddings the model reads. None if it reads no tags.
    """

    regions: tuple[str, ...]
    attribution: tuple[str, ...]
    text_encoder: str | None


def shipped_card(facts: ShippingFacts, config: PretrainConfig, tile_width: int, last_line: Mapping[str, Any]) -> str:
    """Returns the card of a model that comes with the package. The same arguments always give the same text.

    Args:
        facts: facts about the model.
        config: configuration of the training run.
        tile_width: number of values of a tile vector.
        last_line: metrics in the last line of `metrics.jsonl`, by name. Empty if unknown.
    """
    sections = _sections(facts, config, tile_width, last_line)
    header = card_header(
        facts.name,
        "odbl",
        _description(config),
        tile_width,
        facts.text_encoder,
        facts.regions,
        facts.attribution,
        facts.figures,
    )
    return with_header(header, join_sections(sections))


def read_header(card: str, source: str) -> CardHeader:
    """Reads the header of a model card.

    Args:
        card: text of the card.
        source: path of the card, for error messages.

    Raises:
        DataError: the card has no header, or an entry is missing or has another type.
    """
    _, fence, rest = card.partition(FENCE)
    text, end, _ = rest.partition("\n" + FENCE)
    if not fence or not end:
        raise DataError(f"`{source}` has no YAML header between two lines `---`")
    try:
        header = parse_yaml(text)
    except yaml.YAMLError as error:
        raise DataError(f"the header of `{source}` is not YAML: {describe_yaml_error(error)}") from None
    header = header if isinstance(header, dict) else {}
    lists = [header.get(name) for name in ("training_regions", "attribution")]
    encoder = header.get("text_encoder", ...)  # null for a model that reads no tags
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists):
        raise DataError(f"in the header of `{source}`, `training_regions` and `attribution` must be lists of texts")
    if encoder is not None and not isinstance(encoder, str):
        raise DataError(f"in the header of `{source}`, `text_encoder` must be a text or null")
    regions, attribution = (tuple(one or ()) for one in lists)
    return CardHeader(regions, attribution, encoder)


def card_header(
    name: str,
    license_: str,
    description: str,
    dimension: int,
    text_encoder: str | None,
    regions: Sequence[str],
    attribution: Sequence[str],
    figures: Sequence[Figure],
    family: str = "jepa",
) -> dict[str, Any]:
    """Returns the header of a model card.

    It has the fields that the Hugging Face Hub and geoembeddings.org read, and the fields of `CardHeader`.

    Args:
        name: name of the model.
        license_: licence of the weights, such as `odbl`.
        description: one sentence about the model.
        dimension: number of values of a tile vector.
        text_encoder: name of the text encoder whose tag embeddings the model reads; None if it reads none.
        regions: names of the regions that the model was trained on.
        attribution: attribution lines of the training data.
        figures: measured scores.
        family: name of the model's architecture.
    """
    header: dict[str, Any] = {
        "license": license_,
        "library_name": "geojepa",
        "tags": ["openstreetmap", "geospatial", family, "self-supervised", "embeddings"],
        "datasets": ["openstreetmap"],
        "metrics": sorted({figure.metric for figure in figures}),
        "provider": "geojepa",
        "description": description,
        "embedding_spatial_types": ["scene", "patch"],
        "embedding_temporal_type": ["single-date"],
        "embedding_spatial_context": _CONTEXT,
        "embedding_dimension": dimension,
        "text_encoder": text_encoder,
        "training_regions": list(regions),
        "attribution": list(attribution),
    }
    if figures:
        results = [
            {
                "task": {"type": figure.task},
                "dataset": {"name": figure.dataset, "type": "openstreetmap"},
                "metrics": [{"type": figure.metric, "name": figure.metric, "value": figure.value}],
            }
            for figure in figures
        ]
        header["model-index"] = [{"name": name, "results": results}]
    return header


def _description(config: PretrainConfig) -> str:
    return (
        "Embeddings of map tiles and map entities by masked latent prediction (JEPA) on OpenStreetMap data. "
        f"Input: {', '.join(config.model.modalities)}"
    )


def _sections(
    facts: ShippingFacts, config: PretrainConfig, tile_width: int, last_line: Mapping[str, Any]
) -> dict[str, list[str]]:
    model = config.model
    free = [
        f"| {name} | {value:.4g} |"
        for name, value in last_line.items()
        if name.startswith(_LABEL_FREE) and isinstance(value, int | float)
    ]
    measured = [f"| {one.task} | {one.dataset} | {one.metric} | {one.value:.4g} |" for one in facts.figures]
    counts = count_rows(facts.counts)
    left_out = tiles_left_out(config)
    tiles = f"all tiles except {left_out}" if left_out else "all tiles"
    return {
        facts.name: [
            f"{_description(config)}. It comes with geojepa: `geojepa embed`, `probe` and `knn` use it where the "
            "workspace has no trained model.",
            "",
            f"- Tile vector: {tile_width} values. Entity vector: the target encoder's token, {model.embed_dim} values",
            f"- Encoder: {model.depth} layers, {model.embed_dim} wide, {model.num_heads} heads",
            f"- Tag embeddings: {facts.text_encoder}, {model.tag_dim} values",
            "- Weights: the target encoder only, float16. Vectors are computed in float32",
            *drawn_lines(facts.attribution),
        ],
        "Trained on": [
            f"OpenStreetMap data of these regions ({tiles}), without any label:",
            "",
            *[f"- {region}" for region in facts.regions],
            *(["", "| | count |", "| --- | --- |", *counts] if counts else []),
        ],
        "Made by": ["```", facts.command, "```"],
        "Measured": [
            *(["| task | data | score | value |", "| --- | --- | --- | --- |", *measured] if measured else ["Nothing."])
        ],
        "Label-free figures at the end of training": [
            "They show whether the vectors collapsed. They do not show whether the vectors are good.",
            "",
            *(["| figure | value |", "| --- | --- |", *free] if free else ["None."]),
        ],
        "Limits": [
            "The model sees only what is mapped. Mapping differs between places, and so do the vectors. "
            f"Also, {_CONTEXT}. `geojepa probe` warns if a tested region has the name of a region in the list above. A "
            "region with another name may still cover the same area."
        ],
        "Licence and attribution": [
            "The weights are derived from OpenStreetMap data, under the Open Database License (ODbL) 1.0. Embeddings "
            "made with them must keep this attribution:",
            "",
            *[f"- {line}" for line in facts.attribution],
        ],
        **config_section(config),
    }
