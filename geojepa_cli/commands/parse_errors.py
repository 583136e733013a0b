"""Messages and hints for command lines that cannot be parsed, from the data of click's exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geojepa_cli import hints
from geojepa_cli.commands.examples import EXAMPLES
from geojepa_cli.errors import UsageError, nearest
from geojepa_cli.hints import Hint, Invocation, Option

HELP: Option = ("--help", None)
NUMBERS = {
    "integer": "a whole number",
    "integer range": "a whole number",
    "float": "a number",
    "float range": "a number",
}


def flags_of(group: Any) -> frozenset[str]:
    """Returns the options of all commands that take no value."""
    params = [param for command in (group, *group.commands.values()) for param in command.params]
    return frozenset(name for param in params if param.is_flag for name in (*param.opts, *param.secondary_opts))


def unknown_command(name: str, commands: Sequence[str], line: Invocation) -> UsageError:
    """Returns the error for an unknown command. Its hint is the same command line with the most similar command."""
    close = nearest(name, commands)
    if close is None:
        return UsageError(f"no such command `{name}`", hints.shell(hints.PROGRAM, "--help"))
    hint = Hint(close, line.options, workspace=line.workspace)
    return UsageError(f"no such command `{name}`; did you mean `{close}`?", hint)


def describe_parse_error(error: Any, line: Invocation) -> tuple[str, Hint]:
    """Returns the message and hint for an error of click.

    Args:
        error: `UsageError` of click, or a subclass.
        line: the command line.
    """
    # depending on its version, typer uses its own copy of click or the installed click
    kind = type(error).__name__
    context = error.ctx
    command = context.info_name if context is not None and context.parent is not None else None
    params = context.command.params if context is not None else []
    if kind == "NoSuchOption":
        return _describe_unknown_option(error.option_name, command, params, line)
    param = getattr(error, "param", None) or _find(params, getattr(error, "option_name", ""))
    if param is None:
        message = str(error.message).rstrip(".")
        return message[:1].lower() + message[1:], hints.again() if command else hints.shell(hints.PROGRAM, "--help")
    name = param.opts[0]
    given = next((option for option in reversed(line.options) if option[0] in param.opts), (name, None))
    if kind == "MissingParameter":
        shown = EXAMPLES[command][0].options if command in EXAMPLES else ()
        return f"missing option `{name}`", Hint(options=shown or (HELP,))
    if kind == "BadOptionUsage":
        if param.is_flag:
            return f"option `{name}` takes no value", hints.instead(given, (name, None))
        return f"option `{name}` requires a value", _valid_value(param, command, given)
    shown_value = "" if given[1] is None else f", got `{given[1]}`"
    return f"invalid value of `{name}`: {_expected(param, error.message)}{shown_value}", _valid_value(
        param, command, given
    )


def _describe_unknown_option(
    wrong: str, command: str | None, params: Sequence[Any], line: Invocation
) -> tuple[str, Hint]:
    given = next((option for option in line.options if option[0] == wrong), None)
    known = [name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")]
    message = f"no such option `{wrong}`"
    if given is None:  # a global option after the command, which a hint moves, or a short option
        return message, hints.again() if wrong in hints.GLOBAL else Hint(command, (HELP,))
    close = nearest(wrong, known)
    if command is None and close is None:  # an option of the command in front of it
        return f"{message} before the command", hints.again()
    if close is None:
        return message, Hint(command, (HELP,))
    message += f"; did you mean `{close}`?"
    if close == "--workspace" and command is None:
        return message, Hint(wrong=given, workspace=given[1])
    flag = any(param.is_flag for param in params if close in param.opts)
    return message, hints.instead(given, (close, None if flag else given[1]))


def _find(params: Sequence[Any], option: str) -> Any:
    return next((param for param in params if option in (*param.opts, *param.secondary_opts)), None)


def _expected(param: Any, message: str) -> str:
    """Describes the values that an option accepts; `message` if only click knows them."""
    words = NUMBERS.get(param.type.name)
    if words is None:
        return message[:1].lower() + message[1:].rstrip(".")
    low, high = getattr(param.type, "min", None), getattr(param.type, "max", None)
    if low is None or high is None:
        return f"expected {words}" + ("" if low is None else f" of at least {low}")
    return f"expected {words} from {low} to {high}"


def _valid_value(param: Any, command: str | None, given: Option) -> Hint:
    """Returns the failed command with a valid value: the default or that of the example. Otherwise leaves it out."""
    default = param.default
    if isinstance(default, int | float | str) and not isinstance(default, bool):
        return hints.instead(given, (param.opts[0], str(default)))
    shown = [option for example in EXAMPLES.get(command or "", ()) for option in example.options]
    return hints.instead(given, *[option for option in shown if option[0] in param.opts][:1])
