"""Error messages for invalid configurations. They name the wrong key or value and suggest a valid one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.modality import TOKEN_MODALITIES
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.section import ConflictError
from geojepa_cli.errors import UsageError, nearest
from geojepa_cli.hints import Hint

KEY_CUTOFF = 0.75  # minimum similarity of a key in another section

Schema = type[BaseModel]


def describe_error(error: ValidationError, source: str, given: Mapping[str, str], schema: Schema) -> UsageError:
    """Converts a pydantic error about a configuration to a one-line `UsageError`.

    Only one problem is reported: the first unknown key, or the first problem if no key is unknown.

    Args:
        error: error raised by pydantic.
        source: path or name of the configuration.
        given: dict from the key of each `--set` option to its argument, such as `{"train.lr": "train.lr=1"}`.
        schema: schema of the configuration.
    """
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [shorten(str(part)) for part in first["loc"] if part != "[key]"]
    dotted = ".".join(path)
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, source, given, schema)
    if first["type"] == "missing":
        return UsageError(
            f"required key `{dotted}` is missing in `{source}`",
            hints.again(set=valid_values(path, schema) or {"train.epochs": 10}),
        )
    conflict = first.get("ctx", {}).get("error")
    paths = [[*path, *key.split(".")] for key in conflict.keys] if isinstance(conflict, ConflictError) else [path]
    where = f"`{dotted}` in `{source}`" if path else f"`{source}`"
    return UsageError(f"{where}: {describe_reason(first)}", _valid_hint(paths, given, schema))


def section_names(schema: Schema) -> list[str]:
    """Returns the names of all sections of a training configuration, such as `model`."""
    return _keys_at([], schema)


def valid_values(path: Sequence[str], schema: Schema) -> dict[str, object]:
    """Suggests a valid value for one key of a configuration.

    Args:
        path: section and name of the key, such as `("train", "lr")`.
        schema: schema of the configuration.

    Returns:
        Dict with one entry, such as `{"train.lr": "0.001"}`: the section and name of the key, joined by a dot, and a
        valid value as YAML. The value is the example that the schema gives for this key, or the default value if the
        schema gives no example. The dict is empty if the configuration has no such key.
    """
    if len(path) < 2 or path[0] not in _keys_at([], schema) or path[1] not in _keys_at(path[:1], schema):
        return {}
    field = _section(path[0], schema).model_fields[path[1]]
    value = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    return {f"{path[0]}.{path[1]}": _as_yaml(value)}


def valid_override(override: str, example: bool, schema: Schema) -> list[hints.Option]:
    """Suggests a valid `--set` option to replace one that cannot be parsed.

    The suggestion keeps the key of `override`, or replaces an unknown key by the most similar valid key.

    Args:
        override: argument of `--set` that cannot be parsed.
        example: True suggests `train.lr=1e-3` if no valid key is similar. False suggests nothing in that case.
        schema: schema of the configuration.
    """
    path = override.partition("=")[0].strip().split(".")
    close = _nearest_elsewhere(path[-1], schema)
    values = valid_values(path, schema) or valid_values(close.split(".") if close else [], schema)
    if not values and example:
        values = {"train.lr": "1e-3"}
    return [("--set", f"{key}={value}") for key, value in values.items()]


def _valid_hint(paths: Sequence[Sequence[str]], given: Mapping[str, str], schema: Schema) -> Hint:
    """Returns a hint: the command that failed, corrected so that each key in `paths` has a valid value."""
    values: dict[str, object] = {}
    for path in paths:
        values |= valid_values(path, schema)
    wrong = [given[key] for key in given if any(_is_within(key, path[:2]) for path in paths)]
    if len(wrong) == 1:  # a section has no single value, so the hint leaves it out
        return hints.instead(("--set", wrong[0]), *hints.as_options({"set": values}))
    return hints.again(set=values) if values else hints.again(config="tiny.yaml")


def _unknown_key(path: Sequence[str], source: str, given: Mapping[str, str], schema: Schema) -> UsageError:
    """Returns the error for an unknown key of a configuration. The message suggests the most similar valid key."""
    dotted = ".".join(path)
    known = _keys_at(path[:-1], schema)
    close = nearest(path[-1], known)
    better = ".".join([*path[:-1], close]) if close else _nearest_elsewhere(path[-1], schema)
    message = f"unknown key `{dotted}` in `{source}`"
    if better is not None:
        message += f"; did you mean `{better}`?"
    else:
        where = f"the keys of `{'.'.join(path[:-1])}` are" if path[:-1] else "the sections are"
        message += f"; {where} {', '.join(f'`{key}`' for key in known)}"
    whole = next((key for key in given if key != dotted and _is_within(dotted, key.split("."))), None)
    if whole is not None:  # the key is in the value of `--set section={...}`
        return UsageError(message, hints.instead(("--set", given[whole])))
    wrong = next((key for key in given if _is_within(key, path)), None)
    if wrong is None:
        return UsageError(message, hints.again().noting(f"after `{source}` is corrected"))
    right: tuple[hints.Option, ...] = ()
    if better is not None and (better not in section_names(schema) or wrong != dotted):  # a section has no value
        value = given[wrong].partition("=")[2]
        right = (("--set", f"{better}{wrong.removeprefix(dotted)}={value}"),)
    return UsageError(message, hints.instead(("--set", given[wrong]), *right))


def _is_within(key: str, path: Iterable[str]) -> bool:
    """Returns True if a dotted key, such as `model.depth`, equals a path, such as `["model"]`, or starts with it."""
    return f"{key}.".startswith(f"{'.'.join(path)}.")


def _as_yaml(value: Any) -> str:
    plain = list(map(str, value)) if isinstance(value, tuple) else value
    plain = {str(key): inner for key, inner in plain.items()} if isinstance(plain, dict) else plain
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).split("\n...")[0].strip()


def _section(name: str, schema: Schema) -> type[BaseModel]:
    section = schema.model_fields[name].annotation
    assert isinstance(section, type) and issubclass(section, BaseModel)
    return section


def _keys_at(path: Sequence[str], schema: Schema) -> list[str]:
    """Returns the valid keys of a section of the configuration.

    Args:
        path: path of the section, such as `["model"]`. An empty path means the whole configuration.
    """
    section = schema
    for part in path:
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return [str(name) for name in TOKEN_MODALITIES] if part == "modality_weights" else []
        section = inner
    return list(section.model_fields)


def _nearest_elsewhere(key: str, schema: Schema) -> str | None:
    """Searches all sections for the key that is most similar to `key`.

    Returns:
        The key as `section.key`, or None if no key is similar.
    """
    places = {inner: f"{section}.{inner}" for section in _keys_at([], schema) for inner in _keys_at([section], schema)}
    close = nearest(key, places, KEY_CUTOFF)
    return places[close] if close else None
