"""The model card: what a model is, what it was trained on, and what to cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli.config.schema import PretrainConfig, dump_config

_FIGURES = ("loss", "prediction", "rankme_tiles", "rankme_tokens", "std_tiles", "std_tokens", "similarity_tokens")


def model_card(
    name: str,
    config: PretrainConfig,
    seed: int,
    inputs: Sequence[str],
    counts: Mapping[str, Any],
    last_line: Mapping[str, Any],
    attribution: Sequence[str],
) -> str:
    """Markdown; a function of its arguments, without times.

    Args:
        name: the model's name.
        config: as resolved.
        seed: of weights, order and masks.
        inputs: artifacts it was trained on, `kind/name@id`.
        counts: tiles, tokens, steps, parameters, and why it stopped.
        last_line: of `metrics.jsonl`.
        attribution: of the data, from the manifests.
    """
    model = config.model
    what = "GeoJEPA-" + ("TI" if "image" in model.modalities else "T")
    figures = [f"| {key} | {last_line[key]:.4g} |" for key in _FIGURES if isinstance(last_line.get(key), (int, float))]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{what}: embeddings of map tiles and map entities by masked latent prediction (JEPA) on OpenStreetMap "
            "data. Made with `geojepa pretrain`.",
            "",
            f"- Tile vector: max ‖ mean over the target encoder's tokens, {2 * model.embed_dim} values",
            f"- Entity vector: the target encoder's token, {model.embed_dim} values",
            f"- Encoder: {model.depth} layers, {model.embed_dim} wide, {model.num_heads} heads; "
            f"input: {', '.join(model.modalities)}",
            f"- Seed: {seed}",
            "",
            "## Trained on",
            "",
            *[f"- `{ref}`" for ref in inputs],
            "",
            "| | count |",
            "| --- | --- |",
            *[f"| {key.replace('_', ' ')} | {_shown(value)} |" for key, value in counts.items()],
            "",
            "## Label-free figures at the end",
            "",
            "They show whether the vectors collapsed, not whether they are good: `geojepa probe` does that.",
            "",
            "| figure | value |",
            "| --- | --- |",
            *figures,
            "",
            "## Limits",
            "",
            "What the map leaves out, the model does not see; mapping is uneven between places, and so are the "
            "vectors. Entities are cut at the tile's border, and nothing beyond it is seen.",
            "",
            "## Attribution",
            "",
            *[f"- {line}" for line in dict.fromkeys(attribution)],
            "",
            "## Configuration",
            "",
            "```yaml",
            dump_config(config).rstrip(),
            "```",
            "",
        ]
    )


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
