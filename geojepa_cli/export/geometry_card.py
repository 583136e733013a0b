"""Model card of the geometry encoder: Markdown text about its training data, accuracy and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import dump_config


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
    glyphs = config.glyphs
    rows = [f"| {key.replace('_', ' ')} | {_format(value)} |" for key, value in counts.items()]
    figures = [
        f"| {group.replace('_', ' ')} | {glyphs.test_samples:,} | {last_line[f'accuracy_{group}']:.4f} |"
        for group in ("unseen_fonts", "unseen_instances")
    ]
    sections = {
        name: [
            "PolygonGNN (Yu et al. 2024): encodes points, lines, polygons and relations as vectors. Made with "
            "`geojepa pretrain`.",
            "",
            f"- Entity vector: {config.model.dim} values. It does not change with rotation, translation and scale",
            f"- Encoder: {config.model.depth} layers of messages along two-hop paths, {config.model.dim} wide",
            f"- Seed: {seed}",
        ],
        "Trained on": [
            "Numbers 10 to 99 as multipolygons with holes, drawn from font outlines under random affine maps: "
            f"rotation up to {glyphs.rotation_deg:g}°, shear up to {glyphs.shear:g}, unequal scale of the axes up to "
            f"{glyphs.stretch:g}, height {glyphs.size_low:g} to {glyphs.size_high:g} tile sides. No map data.",
            "",
            "| | count |",
            "| --- | --- |",
            *rows,
        ],
        "Accuracy": [
            "Share of numbers that the classifier names. A vector does not change with rotation, so 66 and 99, 68 and "
            "89, 86 and 98 look the same in most fonts: no classifier can separate these pairs.",
            "",
            "| drawn from | samples | accuracy |",
            "| --- | --- | --- |",
            *figures,
        ],
        "Configuration": ["```yaml", dump_config(config).rstrip(), "```"],
    }
    lines: list[str] = []
    for level, (title, content) in enumerate(sections.items()):
        lines += [f"{'#' if level == 0 else '##'} {title}", "", *content, ""]
    return "\n".join(lines)


def _format(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
