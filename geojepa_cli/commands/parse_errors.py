"""Messages and hints for command lines that cannot be parsed, made from exceptions of click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geojepa_cli import hints
from geojepa_cli.commands.examples import EXAMPLES
from geojepa_cli.errors import UsageError, nearest
from geojepa_cli.hints import Hint, Invocation, Option

HELP: Option = ("--help", None)
# by the name of a Python type, or of a type of click
NUMBERS = {
    **dict.fromkeys(("int", "integer", "integer range"), "a whole number"),
    **dict.fromkeys(("float", "float range"), "a number"),
}


def flags_of(group: Any) -> frozenset[str]:
    """Returns the names of all options that take no value, both of the program and of its commands."""
    params = [param for command in (group, *group.commands.values()) for param in command.params]
    flags = [param for param in params if getattr(param, "is_flag", False)]  # an argument has no such attribute
    return frozenset(name for param in flags for name in (*param.opts, *param.secondary_opts))


def unknown_command(name: str, commands: Sequence[str], line: Invocation) -> UsageError:
    """Returns the error for an unknown command. The hint is the command line with the most similar command name."""
    close = nearest(name, commands)
    if close is None:
        return UsageError(f"no such command `{name}`", hints.shell(hints.PROGRAM, "--help"))
    hint = Hint(close, line.options, workspace=line.workspace, arguments=line.arguments(close))
    return UsageError(f"no such command `{name}`; did you mean `{close}`?", hint)


def describe_parse_error(error: Any, line: Invocation, group: Any) -> tuple[str, Hint]:
    """Returns the message and hint for an error of click.

    Args:
        error: `UsageError` of click, or a subclass.
        line: the command line.
        group: object of click that contains all commands.
    """
    # depending on its version, typer uses its own copy of click or the installed click
    kind = type(error).__name__
    command = line.command if line.command in group.commands else None
    if kind == "NoSuchOption":
        before = error.ctx is not None and error.ctx.parent is None
        return _describe_unknown_option(error.option_name, None if before else command, line, group)
    param = getattr(error, "param", None) or _find(_params(group, command), getattr(error, "option_name", ""))
    if param is None:
        hint = hints.again() if command else hints.shell(hints.PROGRAM, "--help")
        unexpected = line.rest[len(line.arguments(command)) :]
        if kind == "UsageError" and unexpected:
            return f"unexpected argument `{unexpected[0]}`", hint
        return _decapitalised(str(error.message)), hint
    name = param.opts[0]
    given = next((option for option in reversed(line.options) if option[0] in param.opts), (name, None))
    if kind == "MissingParameter":
        shown = EXAMPLES[command][0] if command in EXAMPLES else Hint(options=(HELP,))
        if param.param_type_name == "argument":
            return f"missing argument `{name.upper()}`", Hint(arguments=shown.arguments)
        return f"missing option `{name}`", Hint(options=shown.options)
    if kind == "BadOptionUsage" and param.is_flag:
        return f"option `{name}` takes no value", hints.instead(given, (name, None))
    if command is None:
        return f"option `{name}` requires a value", hints.shell(hints.PROGRAM, "--help")
    if kind == "BadOptionUsage":
        return f"option `{name}` requires a value", _valid_value(param, given)
    got = "" if given[1] is None else f", got `{given[1]}`"
    return f"invalid value of `{name}`: {_expected(param, error.message)}{got}", _valid_value(param, given)


def _describe_unknown_option(wrong: str, command: str | None, line: Invocation, group: Any) -> tuple[str, Hint]:
    """Returns the message and hint for an unknown option.

    Args:
        wrong: name of the option.
        command: command that the option follows; None for an option before the command.
        line: the command line.
        group: object of click that contains all commands.
    """
    message = f"no such option `{wrong}`"
    if command is not None and _find(group.params, wrong):
        return f"{message} after the command", hints.again()  # which prints it before the command
    if command is None and line.command in group.commands and _find(_params(group, line.command), wrong):
        return f"{message} before the command", hints.again()
    params = _params(group, command)
    given = next((option for option in line.options if option[0] == wrong), None)
    close = nearest(wrong, [name for param in params for name in (*param.opts, *param.secondary_opts)])
    if given is None or close is None:
        return message, hints.shell(hints.PROGRAM, *([command] if command else []), "--help")
    message += f"; did you mean `{close}`?"
    if command is None:
        help_ = hints.shell(hints.PROGRAM, "--help")
        return message, Hint(wrong=given, workspace=given[1]) if close == "--workspace" else help_
    return message, hints.instead(given, (close, None if _find(params, close).is_flag else given[1]))


def _params(group: Any, command: str | None) -> Sequence[Any]:
    """Returns the options of a command or, if `command` is None, the options of the program."""
    params = group.params if command is None else group.commands[command].params
    return [param for param in params if param.param_type_name == "option"]


def _find(params: Sequence[Any], option: str) -> Any:
    return next((param for param in params if option in (*param.opts, *param.secondary_opts)), None)


def _expected(param: Any, message: str) -> str:
    """Returns a text such as "expected a number" for an option that accepts numbers.

    For other options, returns `message`, the error message of click, with a lower-case first letter.
    """
    # typer has the type and range of an option in its own attributes, or in the `type` of click
    kind = getattr(param, "type", None)
    annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    words = NUMBERS.get(getattr(annotation, "__name__", "") or getattr(kind, "name", ""))
    if words is None:
        return _decapitalised(message)
    low, high = (getattr(kind if hasattr(kind, "min") else param, name, None) for name in ("min", "max"))
    if low is None or high is None:
        return f"expected {words}" + ("" if low is None else f" of at least {low}")
    return f"expected {words} from {low} to {high}"


def _decapitalised(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


def _valid_value(param: Any, given: Option) -> Hint:
    """Returns a hint for an option whose value is invalid or missing: the command line with the default value.

    If the option has no default value, the hint is the command line without the option.
    """
    default = param.default
    if isinstance(default, int | float | str) and not isinstance(default, bool):
        return hints.instead(given, (param.opts[0], str(default)))
    return hints.instead(given)
