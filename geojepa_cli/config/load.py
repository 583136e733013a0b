"""Loads training configurations from files, or by name from the package, and applies `--set` options."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from geojepa_cli import hints
from geojepa_cli.config.describe import describe_error, name_type, section_names, shorten
from geojepa_cli.config.geometry import SCHEMAS, RunConfig
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.config.yaml import parse_yaml, read_yaml
from geojepa_cli.errors import UsageError, unknown

PRESETS = "geojepa_cli.config.presets"
MAX_KEYS = 8  # maximum number of parts of a dotted key in `--set`; valid keys have at most three


def packed_configs() -> list[str]:
    """Returns the file names of the training configurations that come with the package, such as `tiny.yaml`."""
    return sorted(entry.name for entry in resources.files(PRESETS).iterdir() if entry.name.endswith(".yaml"))


def load_config(path_or_name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """Reads a training configuration of GeoJEPA. See `load_run_config`.

    Raises:
        UsageError: the configuration cannot be read, or is of another family.
    """
    config = load_run_config(path_or_name, overrides)
    if not isinstance(config, PretrainConfig):
        message = f"`{path_or_name}` is a configuration of the family `{config.family}`, expected `jepa`"
        raise UsageError(message, hints.again(config="tiny.yaml"))
    return config


def load_run_config(path_or_name: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a training configuration from a file, or by name from the package (`t.yaml` or `t`).

    The key `family` selects the schema. It is `jepa` by default.

    Args:
        path_or_name: path of a file. If no such file exists, the name of a configuration that comes with the package.
        overrides: settings that replace those of the file, as `section.key=value` with the value in YAML. They are
            applied in order.

    Raises:
        UsageError: there is no such configuration, the file is not YAML, a key is unknown, a value is invalid, or an
            override is not `section.key=value`.
    """
    raw, source = _read(path_or_name)
    given: dict[str, Any] = {}
    for override in overrides:
        key, value = _override(raw, override, source)
        given[key] = value
    family = raw.pop("family", "jepa")
    if not isinstance(family, str) or family not in SCHEMAS:
        raise unknown("family", str(family), SCHEMAS, hints.again(config="tiny.yaml"))
    schema = SCHEMAS[family]
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise describe_error(error, source, given, schema) from None


def dump_config(config: RunConfig) -> str:
    """Returns a configuration as YAML text that `load_run_config` can read. The text includes all default values."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read(path_or_name: str) -> tuple[dict[str, Any], str]:
    """Reads a configuration without checking its keys and values.

    Returns:
        Dict of the sections of the configuration; path or name of the configuration, for error messages.
    """
    path = Path(path_or_name)
    name = path_or_name if path_or_name.endswith(".yaml") else path_or_name + ".yaml"
    if path.is_file():
        raw, source = read_yaml(path), str(path)
    elif name in packed_configs():
        raw, source = parse_yaml((resources.files(PRESETS) / name).read_text(encoding="utf-8")), name
    else:
        raise unknown("config", path_or_name, packed_configs(), hints.again(config="tiny.yaml"))
    if raw is None:
        return {}, source
    if not isinstance(raw, dict):
        names = ", ".join(f"`{section}`" for section in section_names(PretrainConfig))
        message = f"`{source}` contains {name_type(raw)}, expected sections: {names}"
        raise UsageError(message, hints.again(config="tiny.yaml"))
    return raw, source


def _override(raw: dict[str, Any], override: str, source: str) -> tuple[str, str]:
    """Applies one `--set` option to a configuration.

    Args:
        raw: sections of the configuration as nested dicts, changed in place.
        override: text of the option, `section.key=value`.
        source: path or name of the configuration, for error messages.

    Returns:
        `section.key` and the value, both as text.
    """
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    example = hints.run("pretrain", config=source, set={"train.lr": "1e-3"})
    if not equals or not all(keys) or len(keys) > MAX_KEYS:
        raise UsageError(f"`--set` expects `section.key=value`, got `{shorten(override)}`", example)
    inner = raw
    for section in keys[:-1]:
        found = inner.setdefault(section, {})
        if not isinstance(found, dict):
            message = f"cannot set `{shorten(dotted)}`: `{shorten(section)}` is {name_type(found)}, not a section"
            raise UsageError(message, example)
        inner = found
    try:
        inner[keys[-1]] = _read_number(parse_yaml(text))
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or str(error)
        message = f"`--set`: value `{shorten(text)}` of `{shorten(dotted)}` is not YAML: {reason}"
        raise UsageError(message, example) from None
    return ".".join(keys), text


def _read_number(value: Any) -> Any:
    """Converts a text such as `1e-3` to a float, because YAML 1.1 does not recognise it as a number.

    Returns any other value unchanged.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
