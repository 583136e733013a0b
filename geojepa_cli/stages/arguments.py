"""Checks and converts arguments of the functions in `geojepa_cli.stages`, which commands and Python users call.

Arguments with the same name have the same meaning in all of these functions. So there is one check for each name.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError, wrong_argument
from geojepa_cli.stages.argument_tables import FLAGS, MAX_DIGITS, PATHS, RANGES, TEXT_LISTS, TEXT_OR_PATH, TEXTS, Range
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds


def check_arguments(signature: inspect.Signature, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the arguments of a function in `geojepa_cli.stages`, and converts them to the types in its signature.

    Accepts text instead of a path, one text instead of a list of texts, and number types such as NumPy scalars. Does
    not check names of artifacts; these are checked when the artifacts are looked up.

    Args:
        signature: signature of the function. None is valid for arguments whose default is None.
        arguments: arguments by name.

    Returns:
        The converted arguments by name.

    Raises:
        UsageError: an argument has a wrong type or is out of range.
    """
    checked = {}
    for name, value in arguments.items():
        optional = signature.parameters[name].default is None
        checked[name] = value if value is None and optional else _check(name, value)
    return checked


def check_digits(arguments: Mapping[str, Any]) -> None:
    """Checks that no argument is or contains an integer with more than `MAX_DIGITS` digits.

    No argument may be that large, and Python cannot convert such integers to `float` or to text.

    Raises:
        UsageError: an integer has more than `MAX_DIGITS` digits.
    """
    for name, value in arguments.items():
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, int) and abs(part) >= 10**MAX_DIGITS for part in parts):
            message = f"the argument `{name}` contains an integer of more than {MAX_DIGITS} digits"
            raise UsageError(message, hints.advice(f"pass a smaller number as `{name}`"))


def elements_of(value: Any) -> list[Any] | None:
    """Returns the elements of a list or other collection. Returns None for text, a dict, or a single value."""
    if isinstance(value, str | bytes | Mapping):
        return None
    try:
        return list(value)
    except TypeError:  # not iterable; arrays with zero axes raise this error too
        return None


def _check(name: str, value: Any) -> Any:
    if name == "workspace":
        return _check_workspace(value)
    if name in RANGES:
        return check_integer(name, value, RANGES[name])
    if name == "bbox":
        return check_bbox(value)
    if name in ("simplify_m", "min_distance_km", "resolution"):
        return _check_tolerance(name, value)
    if name == "weight":
        return _plain_numbers(value if elements_of(value) is not None else [value])
    if name == "alpha":
        return _plain_numbers(value)
    if name in FLAGS:
        return _check_type(name, value, bool, "True or False", "True")
    if name in PATHS:
        return Path(_check_type(name, value, str | Path, "a path", PATHS[name]))
    if name in TEXT_OR_PATH:
        return _check_type(name, value, str | Path, "text or a path", TEXT_OR_PATH[name])
    if name in TEXTS:
        return _check_type(name, value, str, "text", TEXTS[name])
    return check_texts(name, value) if name in TEXT_LISTS else value


def option(name: str) -> str:
    """Returns the command-line option for an argument, such as `--min-entities` for `min_entities`."""
    return "--" + name.strip("_").replace("_", "-")


def wrong_type(name: str, value: object, expected: str, example: str) -> UsageError:
    """Returns the error for an argument of a wrong type. Only Python users can cause this error.

    Args:
        name: name of the argument.
        value: value of the argument.
        expected: description of valid values, for the message.
        example: Python expression of a valid value, for the hint.
    """
    if not isinstance(value, Artifact):
        return wrong_argument(name, value, expected, example)
    got = f"the `{value.kind}` artifact `{value.ref}`"
    return UsageError(f"the argument `{name}` is {got}: expected {expected}", hints.advice(f"pass {name}={example}"))


def check_integer(name: str, value: Any, within: Range) -> int:
    """Checks that an argument is an integer within a range, and converts it to `int`.

    Raises:
        UsageError: the argument is not an integer, or is out of range.
    """
    limits = f"{within.low} to {within.high if within.high < 10_000 else f'{within.high:,}'}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong_type(name, value, f"an integer, {limits}", str(within.example))
    if not within.low <= int(value) <= within.high:
        raise UsageError(f"`{option(name)} {value}`: expected {limits}", hints.again(**{name: within.example}))
    return int(value)


def check_bbox(value: Any) -> Bounds:
    """Checks a bounding box, and converts it to a tuple (west, south, east, north) in degrees.

    Raises:
        UsageError: the argument is not four numbers, a number is out of range, or the numbers are in the wrong order.
    """
    example = "-77.91,40.77,-77.81,40.82"
    hint = hints.again(bbox=example)
    given = elements_of(value) or []
    if len(given) != 4 or any(isinstance(side, bool) or not isinstance(side, numbers.Real) for side in given):
        raise wrong_type("bbox", value, "four numbers (west, south, east, north) in degrees", f"({example})")
    west, south, east, north = (float(side) for side in given)
    text = ",".join(map(repr, (west, south, east, north)))
    if -180 <= east < west <= 180:
        raise UsageError(
            f"`{text}` has west and east swapped, or crosses the antimeridian (use one bounding box for each side)",
            hints.again(bbox=f"{west!r},{south!r},180,{north!r}"),
        )
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(f"`{text}` is not a bounding box: expected west < east and south < north, in degrees", hint)
    return west, south, east, north


def check_texts(name: str, value: Any) -> list[str]:
    """Converts an argument to a list of texts. A single text becomes a list with one element.

    Raises:
        UsageError: the argument is neither text nor a list of texts.
    """
    if isinstance(value, str):
        return [_without_null(name, value)]
    given = elements_of(value)
    if given is None or not all(isinstance(one, str) for one in given):
        raise wrong_type(name, value, "text or a list of texts", '["…"]')
    return [_without_null(name, one) for one in given]


def _check_workspace(value: Any) -> Workspace:
    if not isinstance(value, Workspace):
        raise wrong_type("workspace", value, "a `geojepa_cli.Workspace`", 'Workspace("workspace")')
    return value


def _check_tolerance(name: str, value: Any) -> float:
    low, expected = (math.ulp(0.0), "above 0") if name == "resolution" else (0.0, "0 or more")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong_type(name, value, f"a number, {expected}", "0.5")
    if not math.isfinite(value) or value < low:
        raise UsageError(f"`{option(name)} {value}`: expected {expected}", hints.again(**{name: 0.5}))
    return float(value)


def _plain_numbers(value: Any) -> Any:
    """Converts numbers to `float`, also those in a list. `stages.alpha` checks them."""
    elements = elements_of(value)
    if elements is not None:
        return [_plain_numbers(one) for one in elements]
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else value


def _check_type(name: str, value: Any, types: Any, expected: str, example: str) -> Any:
    if not isinstance(value, types):
        raise wrong_type(name, value, expected, example)
    return _without_null(name, value)


def _without_null(name: str, value: Any) -> Any:
    """Checks that a text or path contains no null character, because file names cannot contain null characters."""
    if isinstance(value, str | Path) and "\0" in str(value):
        raise UsageError(f"`{option(name)}` contains a null character", hints.advice(f"remove `\\0` from {name}"))
    return value
