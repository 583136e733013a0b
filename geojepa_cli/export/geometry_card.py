"""Model cards of geometry encoders: Markdown text about their training data, accuracy and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.export.markdown import config_section, count_rows, join_sections, with_header

if TYPE_CHECKING:
    from geojepa_cli.export.shipped_card import ShippingFacts

_SUMMARY = "PolygonGNN (Yu et al. 2024): encodes points, lines, polygons and relations as vectors"


def geometry_card(
    name: str, config: GeometryConfig, seed: int, counts: Mapping[str, Any], last_line: Mapping[str, Any]
) -> str:
    """Returns the model card of a trained geometry encoder in Markdown. The same arguments always give the same text.

    Args:
        name: name of the model.
        config: configuration of the training run.
        seed: random seed of the initial weights and of the training data.
        counts: numbers of fonts, steps and parameters, by name. The key `stopped_by` holds a text instead: the name of
            the limit that ended the run, such as `max_steps`.
        last_line: metrics in the last line of `metrics.jsonl`, by name.
    """
    about = [*_about(config, "Made with `geojepa pretrain`."), f"- Seed: {seed}"]
    return join_sections({name: about, **_training(config, counts, last_line), **config_section(config)})


def shipped_geometry_card(facts: ShippingFacts, config: GeometryConfig, last_line: Mapping[str, Any]) -> str:
    """Returns the card of a geometry encoder that comes with the package: Markdown with a YAML header.

    Args:
        facts: facts about the model. Regions and text encoder are not used.
        config: configuration of the training run.
        last_line: metrics in the last line of `metrics.jsonl`, by name.
    """
    use = (
        "It comes with geojepa: models with `model.geometry_encoder: polygon_gnn` and `geojepa process "
        "--geometry-encoder polygon_gnn` use it where the workspace has no trained geometry encoder."
    )
    header = {
        "license": "apache-2.0",
        "library_name": "geojepa",
        "tags": ["geospatial", "polygons", "graph-neural-network", "embeddings"],
        "metrics": ["accuracy"],
        "provider": "geojepa",
        "description": _SUMMARY,
        "embedding_dimension": config.model.dim,
        "text_encoder": None,
        "training_regions": [],
        "attribution": list(facts.attribution),
    }
    sections = {
        facts.name: [
            *_about(config, use),
            "- Weights: the encoder only, without the classifier, float16. Vectors are computed in float32",
        ],
        **_training(config, facts.counts, last_line),
        "Made by": ["```", facts.command, "```"],
        "Limits": [
            "A vector shows the shape of an entity only: not its size, direction, position or meaning. The encoder was "
            "trained on digits, not on map data. All points have the same vector, and so do all lines of two nodes."
        ],
        "Licence": [
            "Apache-2.0, as geojepa. The weights are not derived from OpenStreetMap data. The fonts are free software "
            "in Debian; the weights do not contain their outlines."
        ],
        **config_section(config),
    }
    return with_header(header, join_sections(sections))


def _about(config: GeometryConfig, use: str) -> list[str]:
    return [
        f"{_SUMMARY}. {use}",
        "",
        f"- Entity vector: {config.model.dim} values. It does not change with rotation, translation and scale",
        f"- Encoder: {config.model.depth} layers of messages along two-hop paths, {config.model.dim} wide",
    ]


def _training(config: GeometryConfig, counts: Mapping[str, Any], last_line: Mapping[str, Any]) -> dict[str, list[str]]:
    glyphs = config.glyphs
    rows = count_rows(counts)
    figures = [
        f"| {group.replace('_', ' ')} | {glyphs.test_samples:,} | {last_line[f'accuracy_{group}']:.4f} |"
        for group in ("unseen_fonts", "unseen_instances")
    ]
    return {
        "Trained on": [
            "Numbers 10 to 99 as multipolygons with holes, drawn from font outlines under random affine maps: "
            f"rotation up to {glyphs.rotation_deg:g}°, shear up to {glyphs.shear:g}, unequal scale of the axes up to "
            f"{glyphs.stretch:g}, height {glyphs.size_low:g} to {glyphs.size_high:g} tile sides. No map data.",
            *(["", "| | count |", "| --- | --- |", *rows] if rows else []),
        ],
        "Accuracy": [
            "Share of numbers that the classifier names. A vector does not change with rotation, so 66 and 99, 68 and "
            "89, 86 and 98 look the same in most fonts: no classifier can separate these pairs.",
            "",
            "| drawn from | samples | accuracy |",
            "| --- | --- | --- |",
            *figures,
        ],
    }
