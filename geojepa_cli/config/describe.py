"""Error messages for invalid configurations. They name the wrong key or value and suggest a valid one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.schema import TOKEN_MODALITIES
from geojepa_cli.errors import UsageError, nearest
from geojepa_cli.hints import Hint

MAX_SHOWN = 80  # maximum number of characters of a wrong value in a message

Schema = type[BaseModel]


def describe_error(error: ValidationError, source: str, given: Mapping[str, str], schema: Schema) -> UsageError:
    """Converts a pydantic error about a configuration to a one-line `UsageError`.

    Only one problem is reported: the first unknown key, or the first problem if no key is unknown.

    Args:
        error: error raised by pydantic.
        source: path or name of the configuration.
        given: keys and values that were set with the option `--set`.
        schema: schema of the configuration.
    """
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [shorten(str(part)) for part in first["loc"] if part != "[key]"]
    dotted = ".".join(path)
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, source, given, schema)
    if first["type"] == "missing":
        return UsageError(f"required key `{dotted}` is missing in `{source}`", _default_options(path, "", schema))
    reason = first["msg"].removeprefix("Value error, ")
    got = first.get("input")
    shown = "" if isinstance(got, Mapping) or first["type"] == "value_error" else f", got `{shorten(str(got))}`"
    where = f"`{dotted}` in `{source}`" if path else f"`{source}`"
    hint = _default_options(path, reason, schema)
    if dotted in section_names(schema) and dotted in given:  # `--set` can set a key, but not a whole section
        hint = hints.run("pretrain", config=source, set={key: given[key] for key in given if key != dotted})
    return UsageError(f"{where}: {reason[:1].lower()}{reason[1:]}{shown}", hint)


def section_names(schema: Schema) -> list[str]:
    """Returns the names of all sections of a training configuration, such as `model`."""
    return _keys_at([], schema)


def name_type(value: Any) -> str:
    """Returns words for a YAML value in a message: `a list`, `a text`, `a section`, or the value in back-ticks."""
    for kind, name in ((list, "a list"), (str, "a text"), (dict, "a section")):
        if isinstance(value, kind):
            return name
    return f"`{shorten(str(value))}`"


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
    wrong = next((key for key in given if f"{key}.".startswith(f"{dotted}.")), None)
    if wrong is None:
        return UsageError(message, hints.again().noting(f"after `{source}` is corrected"))
    rest = {key: value for key, value in given.items() if key != wrong}
    if better is not None and (better not in section_names(schema) or wrong != dotted):  # a whole section cannot be set
        rest[better + wrong.removeprefix(dotted)] = given[wrong]
    return UsageError(message, hints.run("pretrain", config=source, set=rest))


def _default_options(path: Sequence[str], reason: str, schema: Schema) -> Hint:
    """Returns a hint with a corrected command: the failed command with invalid keys set to their default values.

    Args:
        path: section and key of the invalid value. If it has only a section, the command sets all keys of this section
            that `reason` mentions.
        reason: error message of pydantic.
    """
    options: dict[str, object] = {}
    named = set(re.findall(r"\w+", reason))
    for section in _keys_at([], schema):
        for key in _keys_at([section], schema):
            wanted = list(path[:2]) == [section, key] or (list(path) == [section] and key in named)
            field = _section(section, schema).model_fields[key]
            value = field.get_default(call_default_factory=True)
            value = (field.examples or [None])[0] if value is None else value
            if wanted and value is not None:
                options[f"{section}.{key}"] = _as_yaml(value)
    if not options and path[:1] == ["train"]:
        options["train.epochs"] = 10
    return hints.again(set=options) if options else hints.again(config="tiny.yaml")


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
        schema: schema of the configuration.
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
    close = nearest(key, places)
    return places[close] if close else None


def shorten(text: str) -> str:
    """Cuts a text after `MAX_SHOWN` characters for a message. An ellipsis marks the cut."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
