"""Hints: objects that describe a command with which the user can solve the problem behind an error.

When an error is raised, its hint is completed: `--workspace` is added. If the hint repeats the failed command, the
options of that command are also added. So the printed command can be pasted into a shell, in Python programs too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

PROGRAM = "geojepa"
DEFAULT_WORKSPACE = "workspace"
WORKSPACE_VARIABLE = "GEOJEPA_WORKSPACE"
Option = tuple[str, str | None]  # name such as `--region`, and value; None for a flag
Value = str | int | float | Path | Sequence[str] | Mapping[str, object] | None  # `int` includes bool

GLOBAL = ("--workspace", "--debug")
# options that are copied to a hint that runs the failed command with other arguments
KEPT = ("--region", "--model", "--masked", "--head", "--k", "--html", "--exclude-same-group")
ARGUMENTS = {"probe": 1, "sweep": 1}  # number of arguments of commands that have arguments, not only options
ON_RANKS = ("pretrain", "embed")  # commands that `torchrun` can run on several processes
OF_A_REGION = ("tile", "process", "build-tasks", "pretrain", "embed", "probe", "knn")


@dataclass(frozen=True)
class Hint:
    """A command to paste into a shell, or advice in words if no command helps.

    Attributes:
        command: geojepa command, such as `tile`; None to repeat the failed command.
        options: options of `command`, in order. If `command` is None, these options are added to the failed command, or
            replace its options of the same name.
        shell: command of another program, or advice in words; if given, `command` and `options` are ignored.
        first: another hint, whose command must run before this command; printed before it with `&&`.
        otherwise: alternative hint, which also solves the problem. It is printed after `or:` in a shell comment.
        note: note about this command, which is printed in a shell comment after it.
        workspace: directory for `--workspace`; None for the default workspace.
        wrong: option of the failed command that `options` replace. Used only if `command` is None.
        dropped: names of options of the failed command that are left out.
        arguments: arguments of `command` that belong to no option, such as a file.
    """

    command: str | None = None
    options: tuple[Option, ...] = ()
    shell: str | None = None
    first: Hint | None = None
    otherwise: Hint | None = None
    note: str = ""
    workspace: str | None = None
    wrong: Option | None = None
    arguments: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def after(self, first: Hint) -> Hint:
        """Returns a copy of this hint that suggests the command of the hint `first`, and then its own command."""
        return replace(self, first=first)

    def or_else(self, otherwise: Hint) -> Hint:
        """Returns a copy of this hint that also suggests the hint `otherwise` as an alternative."""
        return replace(self, otherwise=otherwise)

    def noting(self, note: str) -> Hint:
        """Returns a copy of this hint with a note, which is printed in a shell comment after the command."""
        return replace(self, note=note)

    def adding(self, **options: Value) -> Hint:
        """Returns a copy of this hint whose command has these additional options."""
        return replace(self, options=(*self.options, *as_options(options)))

    def within(self, workspace: Path) -> Hint:
        """Returns a copy of this hint with the option `--workspace`.

        Returns the hint itself if it already has a workspace, or if it does not contain a geojepa command.
        """
        own = self.shell is not None or self.workspace is not None
        return self if own else replace(self, workspace=str(workspace))

    def completed(self, by: Invocation | None) -> Hint:
        """Returns a copy of this hint with the workspace and options of the failed command added.

        Args:
            by: the failed command; None if it is unknown.
        """
        first, otherwise = (part and part.completed(by) for part in (self.first, self.otherwise))
        hint = replace(self, first=first, otherwise=otherwise)
        if by is None or self.shell is not None:
            return hint
        workspace = self.workspace or by.workspace
        if self.command is None:
            kept = tuple(option for option in by.options if option[0] not in self.dropped)
            options = replace(by, options=kept).replacing(self.wrong, self.options)
            hint = replace(hint, command=by.command, arguments=self.arguments or by.arguments(by.command), wrong=None)
            dropped = (*self.dropped, self.wrong[0]) if self.wrong else self.dropped
            return replace(hint, options=options, workspace=workspace, dropped=dropped)
        names = KEPT if self.command == by.command else ("--region",) if self.command in OF_A_REGION else ()
        names = () if by.command == "fetch" else names  # its regions are those of Geofabrik, not of the workspace
        named = {*self.dropped, *(name for name, _ in self.options)}
        more = tuple(option for option in by.options if option[0] in names and option[0] not in named)
        return replace(hint, options=(*self.options, *more), workspace=workspace)

    def words(self) -> list[str]:
        """Returns the command as a list of arguments, without the other hints (`first`, `otherwise`) and the note."""
        words = program(self.command) if self.command is not None else []
        default = not os.environ.get(WORKSPACE_VARIABLE) and self.workspace == DEFAULT_WORKSPACE
        words += ["--workspace", self.workspace] if self.workspace is not None and not default else []
        words += [self.command] if self.command is not None else []
        return [*words, *self.arguments, *option_words(self.options)]

    def __str__(self) -> str:
        commands, remarks = self._chain()
        comment = "; ".join(remarks).replace("\n", " ")  # a comment ends at the end of the line
        return f"{commands}  # {comment}" if comment else commands

    def _chain(self) -> tuple[str, list[str]]:
        """Returns the commands joined with `&&`, and the remarks about all of them."""
        commands, remarks = self.first._chain() if self.first is not None else ("", [])
        text = self.shell if self.shell is not None else paste(*self.words())
        more = [self.note, f"or: {self.otherwise}" if self.otherwise is not None else ""]
        return " && ".join(filter(None, (commands, text))), [*remarks, *filter(None, more)]


@dataclass(frozen=True)
class Invocation:
    """A command line as the user typed it.

    Attributes:
        command: name of the command, such as `knn`; None if it is missing.
        options: options of the command, in order.
        workspace: value of `--workspace`, or None.
        rest: arguments after the command that belong to no option.
    """

    command: str | None = None
    options: tuple[Option, ...] = ()
    workspace: str | None = None
    rest: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: Sequence[str], flags: Collection[str] = ("--debug",)) -> Invocation:
        """Parses a command line. Does not check whether the command and its options exist.

        Args:
            words: arguments after `geojepa`.
            flags: options that take no value.
        """
        options: list[Option] = []
        free: list[str] = []
        waiting = False
        for word in words:
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                options.append((name, value if equals else None))
                waiting = not equals and name not in flags
            elif waiting:
                options[-1] = (options[-1][0], word)
                waiting = False
            else:
                free.append(word)
        values = {option: value for option, value in options if option in GLOBAL}
        own = tuple(option for option in options if option[0] not in GLOBAL)
        return cls(free[0] if free else None, own, values.get("--workspace"), tuple(free[1:]))

    def arguments(self, command: str | None) -> tuple[str, ...]:
        """Returns the arguments that belong to no option, such as a file, if the command `command` accepts them."""
        return self.rest[: ARGUMENTS.get(command or "", 0)]

    def without(self, options: Sequence[Option]) -> tuple[Option, ...]:
        """Returns the options of this command line, except those whose name occurs in `options`.

        An option `--set KEY=VALUE` is left out only if `options` contains a `--set` with the same key.
        """
        replaced = {_key(option) for option in options} | {name for name, _ in options if name != "--set"}
        return tuple(o for o in self.options if o[0] not in replaced and _key(o) not in replaced)

    def replacing(self, wrong: Option | None, right: Sequence[Option]) -> tuple[Option, ...]:
        """Returns the options of this command line, with the option `wrong` replaced by the options `right`.

        Of several such options, only the one with the wrong value is replaced. If `wrong` is None or does not occur,
        the options with the same names as those in `right` are replaced.
        """
        alike = [i for i, option in enumerate(self.options) if wrong is not None and _key(option) == _key(wrong)]
        places = [i for i in alike if self.options[i] == wrong or self.options[i][0] == "--set"]
        if not places and len(alike) == 1:  # the value of an option may have been normalised
            places = alike
        if not places:
            return (*self.without(right), *right)
        rest = [option for i, option in enumerate(self.options) if i not in places]
        return (*rest[: places[0]], *right, *rest[places[0] :])


_running: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def running() -> Invocation | None:
    """Returns the command line that is running; None if no geojepa command is running."""
    return _running.get()


@contextlib.contextmanager
def invocation(of: Invocation) -> Iterator[None]:
    """Context manager that records the running command line, so that hints can repeat its command and options.

    Has no effect inside another `invocation`: hints repeat the command that the user ran, not one that it calls.
    """
    if _running.get() is not None:
        yield
        return
    token = _running.set(of)
    try:
        yield
    finally:
        _running.reset(token)


def run(command: str, **options: Value) -> Hint:
    """Returns a hint with a geojepa command: `run("tile", region="x")` is `geojepa tile --region x`.

    Args:
        command: name of the command.
        options: options by name. Underscores become dashes. True sets a flag. None, False and empty lists are left out.
            A list repeats the option with each element, a dict with each `key=value`, as in `--set train.lr=0.1`.
    """
    return Hint(command, as_options(options))


def again(**options: Value) -> Hint:
    """Returns a hint that repeats the failed command with these options added or replaced."""
    return Hint(None, as_options(options))


def instead(wrong: Option, *right: Option) -> Hint:
    """Returns a hint that repeats the failed command with the options `right` in place of the option `wrong`."""
    return Hint(None, right, wrong=wrong)


def shell(*words: str) -> Hint:
    """Returns a hint with a command of another program."""
    return Hint(shell=paste(*words))


def advice(text: str) -> Hint:
    """Returns a hint with advice in words, for problems that no command solves."""
    return Hint(shell=text)


def as_options(named: Mapping[str, Value]) -> tuple[Option, ...]:
    """Converts keyword arguments to options: `min_entities=3` becomes `--min-entities 3`."""
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


def program(command: str) -> list[str]:
    """Returns the first words of the command line that runs a geojepa command: the program and its options.

    The program is `geojepa`, or `torchrun` if `torchrun` started this process and can run `command`.
    """
    if command not in ON_RANKS or "TORCHELASTIC_RUN_ID" not in os.environ:
        return [PROGRAM]
    nodes, processes = os.environ.get("GROUP_WORLD_SIZE", "1"), os.environ.get("LOCAL_WORLD_SIZE", "1")
    several = [] if nodes == "1" else ["--nnodes", nodes]
    return ["torchrun", *several, "--nproc-per-node", processes, "-m", "geojepa_cli"]


def option_words(options: Sequence[Option]) -> list[str]:
    """Converts options to command-line arguments.

    An option with a value becomes `--name` and `value`, or one argument `--name=value` if the value begins with a dash.
    """
    forms = ([n] if v is None else [f"{n}={v}"] if v.startswith("-") else [n, v] for n, v in options)
    return [word for form in forms for word in form]


def paste(*words: str) -> str:
    """Joins command-line arguments to a text. Arguments are quoted so that the text can be pasted into a shell."""
    return shlex.join(words)


def _key(option: Option) -> str:
    """Returns what identifies an option in a command: its name, or `--set KEY` for `--set KEY=VALUE`."""
    name, value = option
    return f"{name} {(value or '').partition('=')[0].strip()}" if name in ("--set", "--draw") else name
