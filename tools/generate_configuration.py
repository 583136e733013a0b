"""Generates `docs/configuration.md`, the list of all settings of `geojepa pretrain`, from the schema.

`--check` writes nothing and exits with 1 if the file differs. `make lint` and a test run it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import to_jsonable_python

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.modality import TOKEN_MODALITIES
from geojepa_cli.config.schema import MODEL_MODALITIES, PretrainConfig
from geojepa_cli.config.section import Section

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/configuration.md"
HEAD = """<!-- generated from geojepa_cli/config by `make schema`; do not edit -->

# Configuration

All settings of `geojepa pretrain` for a GeoJEPA model. A configuration is a YAML file with one section for each heading
below. Settings that it leaves out have their default values. The option `--set SECTION.KEY=VALUE` replaces one value:

```bash
geojepa pretrain --config tiny.yaml --region state-college --set train.max_minutes=5 --set data.min_entities=20
```

The configurations that come with geojepa, such as `tiny.yaml` and `gt.yaml`, are in `geojepa_cli/config/presets/`. They
change many defaults. `config.yaml` in the folder of a trained model has the values with which it was trained. An
unknown key or a value out of range is an error that names a valid one. Configurations of other models, such as
`gair.yaml`, `geometry.yaml` and `tag-ae.yaml`, share the section `train`, and have other settings of their models.
"""
LOW = (("minimum", "≥"), ("ge", "≥"), ("exclusiveMinimum", ">"), ("gt", ">"))
HIGH = (("maximum", "≤"), ("le", "≤"), ("exclusiveMaximum", "<"), ("lt", "<"))
LARGEST = 65_536  # larger maxima only protect from typing errors


def page() -> str:
    """Returns the text of `docs/configuration.md`."""
    parts = [HEAD]
    for name, field in PretrainConfig.model_fields.items():
        section = field.annotation
        assert isinstance(section, type) and issubclass(section, Section)
        title = " ".join((section.__doc__ or "").partition("\n\n")[0].split())
        lines = [f"## `{name}`", "", title, "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        parts.append("\n".join([*lines, *rows(section), ""]))
    return "\n".join(parts)


def rows(section: type[Section]) -> Iterator[str]:
    """Yields the rows of the table of a section."""
    for key, described in section.model_json_schema()["properties"].items():
        field = section.model_fields[key]
        default = "required" if field.is_required() else f"`{value(field.get_default(call_default_factory=True))}`"
        cells = (f"`{key}`", type_of(described), default, str(field.description))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_of(described: dict[str, Any]) -> str:
    """Returns the type of a setting in words, with its range or its possible values.

    A reference in a list or dict is one to the modalities, of which validators accept fewer than the type allows.
    """
    if "anyOf" in described:
        return " or ".join(type_of(one) for one in described["anyOf"])
    if "enum" in described:
        return names(described["enum"])
    kind = str(described["type"])
    if kind == "array":
        return f"list of {names(MODEL_MODALITIES) if '$ref' in described['items'] else type_of(described['items'])}"
    if kind == "object":
        return f"{type_of(described['additionalProperties'])} for each of {names(TOKEN_MODALITIES)}"
    words = {"string": "text", "boolean": "`true`, `false`", "null": "`null`"}
    limits = [f"{sign} {described[name]:g}" for name, sign in LOW if name in described]
    limits += [f"{sign} {described[name]:g}" for name, sign in HIGH if described.get(name, LARGEST + 1) <= LARGEST]
    limits += [f"multiple of {described['multipleOf']}"] if "multipleOf" in described else []
    return " ".join([words.get(kind, kind), ", ".join(limits)]).strip()


def names(values: Iterable[str]) -> str:
    """Returns values as a list in Markdown."""
    return ", ".join(f"`{one}`" for one in values)


def value(default: object) -> str:
    """Returns a default value as YAML, on one line."""
    return str(yaml.safe_dump(to_jsonable_python(default), default_flow_style=True, width=1000)).partition("\n")[0]


def main() -> int:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file differs")
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
    if parser.parse_args().check:
        if stale:
            print(f"{PAGE.relative_to(ROOT)} differs from geojepa_cli/config; run `make schema`", file=sys.stderr)
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
