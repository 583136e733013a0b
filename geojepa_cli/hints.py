"""Hints: the command that helps after an error, as data.

A hint is built and completed where the error is raised. Completing adds the workspace and, where the hint repeats the
failed command, that command's options. So the text can be pasted, whether the error came from the command line or from
Python.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

PROGRAM = "geojepa"
DEFAULT_WORKSPACE = "workspace"
WORKSPACE_VARIABLE = "GEOJEPA_WORKSPACE"
Option = tuple[str, str | None]  # `--region` and its value; None for a switch
Value = str | int | float | Path | Sequence[str] | Mapping[str, object] | None  # bool is an int

GLOBAL = ("--workspace", "--debug")
# options that a hint keeps when it runs the failed command with another query
KEPT = ("--region", "--model", "--masked", "--head", "--k", "--html", "--exclude-same-group")
OF_A_REGION = ("tile", "process", "build-tasks", "pretrain", "embed", "probe", "knn")


@dataclass(frozen=True)
class Hint:
    """A command to paste or, where no command helps, advice in words.

    Attributes:
        command: of geojepa, such as `tile`; None stands for the command that failed.
        options: of that command, in order.
        shell: a command of another program, or advice, instead of `command` and `options`.
        first: command to run before this one; joined by `&&`.
        otherwise: an alternative; joined by `, or`.
        note: a remark in parentheses after the command.
        workspace: directory for `--workspace`; None for the default.
    """

    command: str | None = None
    options: tuple[Option, ...] = ()
    shell: str | None = None
    first: Hint | None = None
    otherwise: Hint | None = None
    note: str = ""
    workspace: str | None = None

    def after(self, first: Hint) -> Hint:
        """Returns this hint with a command to run before it."""
        return replace(self, first=first)

    def or_else(self, otherwise: Hint) -> Hint:
        """Returns this hint with an alternative."""
        return replace(self, otherwise=otherwise)

    def noting(self, note: str) -> Hint:
        """Returns this hint with a remark."""
        return replace(self, note=note)

    def adding(self, **options: Value) -> Hint:
        """Returns this hint with further options."""
        return replace(self, options=(*self.options, *as_options(options)))

    def within(self, workspace: Path) -> Hint:
        """Returns this hint for a workspace, unless it has one already or is not a command of geojepa."""
        if self.shell is not None or self.workspace is not None:
            return self
        return replace(self, workspace=str(workspace))

    def completed(self, by: Invocation | None) -> Hint:
        """Returns this hint with what it takes from the failed command: its workspace, and its options.

        Args:
            by: the failed command; None where it is unknown.
        """
        first, otherwise = (part and part.completed(by) for part in (self.first, self.otherwise))
        hint = replace(self, first=first, otherwise=otherwise)
        if by is None or self.shell is not None:
            return hint
        workspace = self.workspace or by.workspace
        if self.command is None:
            kept = by.without(self.options)
            return replace(hint, command=by.command, options=(*kept, *self.options), workspace=workspace)
        # regions of `fetch` are Geofabrik's, those of other commands the workspace's
        names = KEPT if self.command == by.command else ("--region",) if self.command in OF_A_REGION else ()
        names = () if by.command == "fetch" else names
        named = {name for name, _ in self.options}
        more = tuple(option for option in by.options if option[0] in names and option[0] not in named)
        return replace(hint, options=(*self.options, *more), workspace=workspace)

    def words(self) -> list[str]:
        """Returns the words of the command, without `first`, `otherwise` and `note`."""
        words = [PROGRAM] if self.command is not None else []
        default = not os.environ.get(WORKSPACE_VARIABLE) and self.workspace == DEFAULT_WORKSPACE
        if self.workspace is not None and not default:
            words += ["--workspace", self.workspace]
        return words + ([self.command] if self.command is not None else []) + option_words(self.options)

    def __str__(self) -> str:
        text = self.shell if self.shell is not None else paste(*self.words())
        text = f"{self.first} && {text}" if self.first is not None else text
        text = f"{text}, or {self.otherwise}" if self.otherwise is not None else text
        return f"{text} ({self.note})" if self.note else text


@dataclass(frozen=True)
class Invocation:
    """The running command, as typed.

    Attributes:
        command: such as `knn`, or None.
        options: of the command, in order.
        workspace: what `--workspace` names, or None.
    """

    command: str | None = None
    options: tuple[Option, ...] = ()
    workspace: str | None = None

    @classmethod
    def parse(cls, words: Sequence[str]) -> Invocation:
        """Parses the words after `geojepa`, even if they are wrong. No command takes positional arguments."""
        options: list[Option] = []
        free: list[str] = []
        waiting = False
        for word in words:
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                options.append((name, value if equals else None))
                waiting = not equals
            elif waiting:
                options[-1] = (options[-1][0], word)
                waiting = False
            else:
                free.append(word)
        values = {option: value for option, value in options if option in GLOBAL}
        command = values.get("--debug") or (free[0] if free else None)  # `--debug knn`: a switch takes no value
        return cls(command, tuple(o for o in options if o[0] not in GLOBAL), values.get("--workspace"))

    def without(self, options: Sequence[Option]) -> tuple[Option, ...]:
        """Returns the options of this command that `options` do not replace."""
        replaced = {_key(option) for option in options} | {name for name, _ in options if name != "--set"}
        return tuple(o for o in self.options if o[0] not in replaced and _key(o) not in replaced)


_running: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def running() -> Invocation | None:
    """Returns the running command, or None."""
    return _running.get()


@contextlib.contextmanager
def invocation(of: Invocation) -> Iterator[None]:
    """Marks a command as running. Inside another command it has no effect, so hints name the outermost."""
    if _running.get() is not None:
        yield
        return
    token = _running.set(of)
    try:
        yield
    finally:
        _running.reset(token)


def run(command: str, **options: Value) -> Hint:
    """Builds a command of geojepa: `run("tile", region="x")` is `geojepa tile --region x`.

    Args:
        command: its name.
        options: underscores become dashes; True is a switch; None, False and empty lists are left out; a list repeats
            the option; a dict becomes `key=value` for `--set`.
    """
    return Hint(command, as_options(options))


def again(**options: Value) -> Hint:
    """Builds the failed command again, with these options replacing those of the same name."""
    return Hint(None, as_options(options))


def shell(*words: str) -> Hint:
    """Builds a command of another program."""
    return Hint(shell=paste(*words))


def advice(text: str) -> Hint:
    """Builds advice in words, where no command helps."""
    return Hint(shell=text)


def as_options(named: Mapping[str, Value]) -> tuple[Option, ...]:
    """Converts keyword arguments to options; see `run`."""
    options: list[Option] = []
    for name, value in named.items():
        option = "--" + name.strip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            options.append((option, None))
        elif isinstance(value, Mapping):
            options += [(option, f"{key}={inner}") for key, inner in value.items()]
        elif isinstance(value, str | int | float | Path):
            options.append((option, str(value)))
        else:
            options += [(option, str(inner)) for inner in value]
    return tuple(options)


def option_words(options: Sequence[Option]) -> list[str]:
    """Converts options to words of a command line; a value that begins with a dash is joined to its name."""
    words: list[str] = []
    for name, value in options:
        words += [name] if value is None else [f"{name}={value}"] if value.startswith("-") else [name, value]
    return words


def paste(*words: str) -> str:
    """Joins words with quotes where a shell needs them."""
    return shlex.join(words)


def _key(option: Option) -> str:
    """Returns what identifies an option: its name, for `--set` also the configuration key."""
    name, value = option
    return f"--set {(value or '').partition('=')[0].strip()}" if name == "--set" else name
