"""Explains in words why a value in a configuration or a task file is invalid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

MAX_SHOWN = 80  # maximum number of characters of a wrong value in a message

# texts by pydantic's type of error; the error contains the limits that replace the names in braces
_REASONS = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "boolean": "expected a number",
    "dict_type": "expected keys and values",
    "enum": "expected {expected}",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "int_type": "expected a whole number",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "literal_error": "expected {expected}",
    "model_attributes_type": "expected a section with keys",
    "model_type": "expected a section with keys",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected at least {min_length} characters",
    "string_type": "expected text",
    "too_long": "expected at most {max_length} entries, got {actual_length}",
    "too_short": "expected at least {min_length} entries, got {actual_length}",
    "tuple_type": "expected a list",
}


def describe_reason(error: ErrorDetails, reasons: Mapping[str, str] = _REASONS) -> str:
    """Describes why a value is invalid, for example "expected at least 1, got `0`".

    Args:
        error: error that pydantic found.
        reasons: texts by pydantic's type of error. They take precedence over the texts in this file.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    reason = reasons.get(kind) or _REASONS.get(kind)
    text = reason.format(**context).replace("'", "`") if reason else error["msg"][:1].lower() + error["msg"][1:]
    got = error["input"]
    return f"{text}, got {_quote(got)}" if got is None or isinstance(got, str | int | float) else text


def shorten(text: str) -> str:
    """Shortens text for a message to at most `MAX_SHOWN` characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def name_type(value: Any) -> str:
    """Returns "a list", "a text" or "a section" for a value of this type, and any other value in back-ticks."""
    for kind, name in ((list, "a list"), (str, "a text"), (dict, "a section")):
        if isinstance(value, kind):
            return name
    return _quote(value)


def _quote(value: Any) -> str:
    """Returns a value as it is written in YAML, in back-ticks."""
    words = {None: "null", True: "true", False: "false"}
    plain = words[value] if value is None or isinstance(value, bool) else str(value)
    return f"`{shorten(plain)}`"
