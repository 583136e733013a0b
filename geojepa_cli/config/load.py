"""Loads training configurations from files, or by name from the package, and applies `--set` options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from geojepa_cli import hints
from geojepa_cli.config.describe import Schema, describe_error, section_names, valid_override
from geojepa_cli.config.families import SCHEMAS, RunConfig
from geojepa_cli.config.reasons import name_type, shorten
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.config.yaml import describe_yaml_error, is_malformed, parse_yaml, read_yaml
from geojepa_cli.errors import UsageError, unknown

PRESETS = "geojepa_cli.config.presets"
MAX_KEYS = 8  # maximum number of parts of a dotted key in `--set`; valid keys have at most three


def packed_configs() -> list[str]:
    """Returns the file names of the training configurations that come with the package, such as `tiny.yaml`."""
    return sorted(entry.name for entry in resources.files(PRESETS).iterdir() if entry.name.endswith(".yaml"))


def load_config(path_or_name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """Reads a training configuration of GeoJEPA, as `load_run_config` does.

    Raises:
        UsageError: the configuration cannot be read, or is for another model than GeoJEPA.
    """
    config = load_run_config(path_or_name, overrides)
    if not isinstance(config, PretrainConfig):
        message = f"`{path_or_name}` is a configuration of the family `{config.family}`, expected `jepa`"
        raise UsageError(message, hints.again(config="tiny.yaml"))
    return config


def load_run_config(path_or_name: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a training configuration from a file, or by name from the package (such as `tiny.yaml` or `tiny`).

    The key `family` of the configuration, which is `jepa` by default, selects the schema.

    Args:
        path_or_name: path of a file. If no such file exists, the name of a configuration that comes with the package.
        overrides: settings that replace those of the file, as `section.key=value` with the value in YAML. If a
            key occurs several times, the last value is used.

    Raises:
        UsageError: there is no such configuration, the file is not YAML, a key is unknown, a value is invalid, or an
            override is not `section.key=value`.
    """
    raw, source = _read(path_or_name)
    given: dict[str, str] = {}
    for override in overrides:
        given[_override(raw, override, given)] = override
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
        Two values: a dict of the sections, and the path or name of the configuration for error messages.
    """
    path = Path(path_or_name)
    name = path_or_name if path_or_name.endswith(".yaml") else path_or_name + ".yaml"
    if path.is_file():
        raw, source = read_yaml(path), str(path)
    elif name in packed_configs():
        raw, source = parse_yaml((resources.files(PRESETS) / name).read_text(encoding="utf-8")), name
    else:
        candidates = (
            packed_configs() if path_or_name == name else [stem.removesuffix(".yaml") for stem in packed_configs()]
        )
        raise unknown("config", path_or_name, candidates, hints.again(config="tiny.yaml"), "--config")
    if raw is None:
        return {}, source
    if not isinstance(raw, dict):
        names = ", ".join(f"`{section}`" for section in section_names(PretrainConfig))
        message = f"`{source}` contains {name_type(raw)}, expected sections: {names}"
        raise UsageError(message, hints.again(config="tiny.yaml"))
    return raw, source


def _override(raw: dict[str, Any], override: str, earlier: Mapping[str, str]) -> str:
    """Sets `section.key=value` in nested dicts.

    Args:
        raw: nested dicts of the configuration. They are changed in place.
        override: argument of `--set`.
        earlier: `--set` options that were already applied, as a dict from dotted key to argument. An earlier option
            can make `override` invalid: after `--set model=3`, `model` is not a section. The hint is then the failed
            command without the earlier option.

    Returns:
        The key, such as `train.lr`.
    """
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    corrected = hints.instead(("--set", override), *valid_override(override, not earlier, _schema_of(raw)))
    if not equals or not all(keys) or len(keys) > MAX_KEYS:
        raise UsageError(f"`--set` expects `section.key=value`, got `{shorten(override)}`", corrected)
    inner = raw
    for depth, section in enumerate(keys[:-1], 1):
        found = inner.setdefault(section, {})
        if not isinstance(found, dict):
            message = f"cannot set `{shorten(dotted)}`: `{shorten(section)}` is {name_type(found)}, not a section"
            if depth == 1:  # the file or an earlier `--set` gives a section a value
                wrong = earlier.get(section)
                corrected = hints.instead(("--set", wrong)) if wrong else hints.again(config="tiny.yaml")
            raise UsageError(message, corrected)
        inner = found
    try:
        inner[keys[-1]] = _read_number(parse_yaml(text))
    except yaml.YAMLError as error:
        problem = " is not YAML" if is_malformed(error) else ""
        message = f"`--set`: value `{shorten(text)}` of `{shorten(dotted)}`{problem}: {describe_yaml_error(error)}"
        raise UsageError(message, corrected) from None
    return ".".join(keys)


def _schema_of(raw: Mapping[str, Any]) -> Schema:
    """Returns the schema of a configuration, by its key `family`. Returns that of `jepa` for an unknown family."""
    family = raw.get("family")
    return SCHEMAS[family] if isinstance(family, str) and family in SCHEMAS else PretrainConfig


def _read_number(value: Any) -> Any:
    """Converts a text that is a number to a float. Returns any other value unchanged.

    This is necessary because YAML 1.1 reads numbers such as `1e-3` as text.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
