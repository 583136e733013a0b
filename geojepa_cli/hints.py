"""Hints: the command that gets a person past an error, as data.

A hint is built where the error is raised. It is completed there too: with the workspace and, where it repeats the
command that failed, with that command's options. So the text can be pasted as it stands, from the command line and
from Python alike.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

PROGRAM = "geojepa"
DEFAULT_WORKSPACE = "workspace"
Option = tuple[str, str | None]  # `--region` and its value; None for a switch
Value = str | int | float | Path | Sequence[str] | Mapping[str, object] | None  # bool is an int

GLOBAL = ("--workspace", "--debug")
# options of the failed command that a hint to run the same command with another question keeps
KEPT = ("--region", "--model", "--masked", "--head", "--k", "--html", "--exclude-same-group")
OF_A_REGION = ("tile", "process", "build-tasks", "pretrain", "embed", "probe", "knn")


@dataclass(frozen=True)
class Hint:
    """A command to paste, or, where no command helps, a short piece of advice.

    Attributes:
        command: of geojepa, such as `tile`; None stands for the command that failed.
        options: of that command, in order.
        shell: a command of another program, or advice, instead of `command` and `options`.
        first: to run before this one; both are joined by `&&`.
        otherwise: an alternative; both are joined by `, or`.
        note: a remark that follows in parentheses.
        workspace: directory to name with `--workspace`; None for the default.
    """

    command: str | None = None
    options: tuple[Option, ...] = ()
    shell: str | None = None
    first: Hint | None = None
    otherwise: Hint | None = None
    note: str = ""
    workspace: str | None = None

    def after(self, first: Hint) -> Hint:
        """This hint, to be followed once `first` was run."""
        return replace(self, first=first)

    def or_else(self, otherwise: Hint) -> Hint:
        """This hint with an alternative."""
        return replace(self, otherwise=otherwise)

    def noting(self, note: str) -> Hint:
        """This hint with a remark."""
        return replace(self, note=note)

    def adding(self, **options: Value) -> Hint:
        """This hint with further options."""
        return replace(self, options=(*self.options, *as_options(options)))

    def within(self, workspace: Path) -> Hint:
        """This hint for a workspace, unless it names one, or is not a command of geojepa."""
        if self.shell is not None or self.workspace is not None:
            return self
        return replace(self, workspace=str(workspace))

    def completed(self, by: Invocation | None) -> Hint:
        """This hint with all that it takes from the command that failed.

        Args:
            by: the command that failed; None where nothing is known of it.
        """
        first, otherwise = (part and part.completed(by) for part in (self.first, self.otherwise))
        hint = replace(self, first=first, otherwise=otherwise)
        if by is None or self.shell is not None:
            return hint
        workspace = self.workspace or by.workspace
        if self.command is None:
            kept = by.without(self.options)
            return replace(hint, command=by.command, options=(*kept, *self.options), workspace=workspace)
        # regions of `fetch` are Geofabrik's, all others are the workspace's
        names = KEPT if self.command == by.command else ("--region",) if self.command in OF_A_REGION else ()
        names = () if by.command == "fetch" else names
        named = {name for name, _ in self.options}
        more = tuple(option for option in by.options if option[0] in names and option[0] not in named)
        return replace(hint, options=(*self.options, *more), workspace=workspace)

    def words(self) -> list[str]:
        """The words of the command, without `first`, `otherwise` and `note`."""
        words = [PROGRAM] if self.command is not None else []
        if self.workspace is not None and self.workspace != DEFAULT_WORKSPACE:
            words += ["--workspace", self.workspace]
        return words + ([self.command] if self.command is not None else []) + option_words(self.options)

    def __str__(self) -> str:
        text = self.shell if self.shell is not None else paste(*self.words())
        text = f"{self.first} && {text}" if self.first is not None else text
        text = f"{text}, or {self.otherwise}" if self.otherwise is not None else text
        return f"{text} ({self.note})" if self.note else text


@dataclass(frozen=True)
class Invocation:
    """The command that is running, as it would be typed.

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
        """Reads the words after `geojepa`, right or wrong. No command takes positional arguments."""
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
        """The options of this command that `options` do not replace."""
        replaced = {_key(option) for option in options} | {name for name, _ in options if name != "--set"}
        return tuple(o for o in self.options if o[0] not in replaced and _key(o) not in replaced)


_running: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def running() -> Invocation | None:
    """The command that is running, or None."""
    return _running.get()


@contextlib.contextmanager
def invocation(of: Invocation) -> Iterator[None]:
    """Marks a command as running; inside another one it changes nothing, so that the outermost is named."""
    if _running.get() is not None:
        yield
        return
    token = _running.set(of)
    try:
        yield
    finally:
        _running.reset(token)


def run(command: str, **options: Value) -> Hint:
    """A command of geojepa: `run("tile", region="x")` is `geojepa tile --region x`.

    Args:
        command: its name.
        options: underscores become dashes; True is a switch; None, False and empty lists are left out; a list repeats
            the option; a dict becomes `key=value` for `--set`.
    """
    return Hint(command, as_options(options))


def again(**options: Value) -> Hint:
    """The command that failed, with these options in place of its own."""
    return Hint(None, as_options(options))


def shell(*words: str) -> Hint:
    """A command of another program."""
    return Hint(shell=paste(*words))


def advice(text: str) -> Hint:
    """Words, where no command helps."""
    return Hint(shell=text)


def as_options(named: Mapping[str, Value]) -> tuple[Option, ...]:
    """Options from keyword arguments; see `run`."""
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
    """Options as words of a command line; a value that looks like an option is joined to its name."""
    words: list[str] = []
    for name, value in options:
        words += [name] if value is None else [f"{name}={value}"] if value.startswith("-") else [name, value]
    return words


def paste(*words: str) -> str:
    """Words joined so that a shell reads each back as one."""
    return shlex.join(words)


def _key(option: Option) -> str:
    """`--set` is an option of one configuration key each; other options stand for themselves."""
    name, value = option
    return f"--set {(value or '').partition('=')[0].strip()}" if name == "--set" else name
