"""Example command lines of each command, for help texts and hints."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from geojepa_cli import hints
from geojepa_cli.hints import Hint, Value

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLES: dict[str, tuple[Hint, ...]] = {}  # by the name of the command


def command_name(command: Callable[..., Any]) -> str:
    """Returns the name that users type for a command, such as `build-tasks` for `build_tasks`."""
    return command.__name__.replace("_", "-")


def example(*arguments: str, **options: Value) -> Callable[[Command], Command]:
    """Returns a decorator that adds an example to the help text of a command.

    Args:
        arguments: positional arguments of the example, such as a file.
        options: options of the example and their values, such as `region="state-college"`.
    """

    def add(command: Command) -> Command:
        name = command_name(command)
        EXAMPLES[name] = (
            replace(hints.run(name, **options), arguments=arguments),
            *EXAMPLES.get(name, ()),
        )  # decorators run from bottom to top
        return command

    return add


def help_text(command: Callable[..., Any]) -> str:
    """Returns the docstring of a command, followed by its examples."""
    examples = (f"Example: {shown}" for shown in EXAMPLES.get(command_name(command), ()))
    return "\n\n".join([inspect.getdoc(command) or "", *examples])
