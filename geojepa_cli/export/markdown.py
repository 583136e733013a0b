"""Parts of model cards: Markdown sections, rows of tables, the YAML header and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.load import dump_config

FENCE = "---\n"


def join_sections(sections: Mapping[str, list[str]]) -> str:
    """Returns Markdown text. The first section has the title of the card.

    Args:
        sections: lines of each section, by its title.
    """
    lines: list[str] = []
    for level, (title, content) in enumerate(sections.items()):
        lines += [f"{'#' if level == 0 else '##'} {title}", "", *content, ""]
    return "\n".join(lines)


def with_header(header: Mapping[str, Any], text: str) -> str:
    """Returns Markdown text with a YAML header between two lines `---`."""
    front = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=118)
    return f"{FENCE}{front}{FENCE}\n{text}"


def count_rows(counts: Mapping[str, Any]) -> list[str]:
    """Returns a row of a table for each count. Integers have separators of thousands."""
    values = {key: f"{value:,}" if isinstance(value, int) else str(value) for key, value in counts.items()}
    return [f"| {key.replace('_', ' ')} | {value} |" for key, value in values.items()]


def config_section(config: RunConfig) -> dict[str, list[str]]:
    """Returns the section with the configuration of a training run."""
    return {"Configuration": ["```yaml", dump_config(config).rstrip(), "```"]}
