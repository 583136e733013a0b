"""Examples of commands, which help texts show and hints repeat."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from geojepa_cli import hints
from geojepa_cli.hints import Hint, Value

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLES: dict[str, tuple[Hint, ...]] = {}  # by the name of the command


def command_name(command: Callable[..., Any]) -> str:
    """Returns the name of a command on the command line."""
    return command.__name__.replace("_", "-")


def example(**options: Value) -> Callable[[Command], Command]:
    """Returns a decorator that adds an example to a command.

    Args:
        options: options of the command, as in `hints.run`.
    """

    def add(command: Command) -> Command:
        name = command_name(command)
        EXAMPLES[name] = (hints.run(name, **options), *EXAMPLES.get(name, ()))  # decorators run from bottom to top
        return command

    return add


def help_text(command: Callable[..., Any]) -> str:
    """Returns the docstring of a command, followed by its examples."""
    examples = (f"Example: {shown}" for shown in EXAMPLES.get(command_name(command), ()))
    return "\n\n".join([inspect.getdoc(command) or "", *examples])
