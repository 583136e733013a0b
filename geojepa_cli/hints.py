"""Hints that work when they are pasted: quoted, with the workspace and the options of the command that failed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

Option = tuple[str, str | None]  # `--region`, and its value where it has one

GLOBAL = ("--workspace", "--debug")
# of the same command, so that the hint asks what was asked before
KEPT = ("--region", "--model", "--masked", "--head", "--k", "--html", "--exclude-same-group")
OF_A_REGION = ("tile", "process", "build-tasks", "pretrain", "embed", "probe", "knn")
_QUOTED = r"(?:'[^']*'|[^'])"
_COMMAND = re.compile(rf"geojepa (?P<name>[a-z][a-z-]*)(?P<rest>{_QUOTED}*?)(?P<end>$|`| && |, |; | \()")


class CommandLine(NamedTuple):
    """A command line of geojepa, read as far as it can be, right or wrong.

    Attributes:
        workspace: what `--workspace` names, or None.
        command: such as `knn`, or None.
        options: of the command, in order.
    """

    workspace: str | None
    command: str | None
    options: tuple[Option, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> CommandLine:
        """Reads the words after `geojepa`. Commands take no positional arguments, so that a word is a value."""
        options, free = _options(words)
        values = {option: value for option, value in options if option in GLOBAL}
        # `--debug knn`: a switch takes no value
        command = values.get("--debug") or (free[0] if free else None)
        return cls(values.get("--workspace"), command, tuple(o for o in options if o[0] not in GLOBAL))

    def complete(self, hint: str) -> str:
        """A hint with what it leaves out: options alone become the whole command, commands get the workspace."""
        options, free = _options(_split(hint)) if hint.startswith("--") else ([], [hint])
        if not free and self.command is not None:
            named = {_key(option) for option in options} | {option for option, _ in options if option != "--set"}
            kept = [o for o in self.options if o[0] not in named and _key(o) not in named]
            return paste("geojepa", *self._globals(), self.command, *_words(kept)) + f" {hint}"
        return _COMMAND.sub(self._completed, hint)

    def _completed(self, found: re.Match[str]) -> str:
        name, rest, end = found["name"], found["rest"], found["end"]
        named = {option for option, _ in _options(_split(rest))[0]}
        kept = KEPT if name == self.command else ("--region",) if name in OF_A_REGION else ()
        kept = () if self.command == "fetch" else kept  # its regions are Geofabrik's
        more = _words([o for o in self.options if o[0] in kept and o[0] not in named])
        return paste("geojepa", *self._globals(), name) + rest + "".join(f" {paste(word)}" for word in more) + end

    def _globals(self) -> list[str]:
        return ["--workspace", self.workspace] if self.workspace else []


def paste(*words: str) -> str:
    """Words as a shell reads them back, each as one."""
    return shlex.join(words)


def complete(hint: str) -> str:
    """A hint completed from the command line of this process."""
    return CommandLine.of(sys.argv[1:]).complete(hint)


def _options(words: Sequence[str]) -> tuple[list[Option], list[str]]:
    """Options with their values, and the words that are neither."""
    options: list[Option] = []
    free = []
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
    return options, free


def _words(options: Sequence[Option]) -> list[str]:
    words: list[str] = []
    for name, value in options:
        words += [name] if value is None else [f"{name}={value}"] if value.startswith("-") else [name, value]
    return words


def _key(option: Option) -> str:
    """`--set` is of one key of the configuration; other options stand for themselves."""
    name, value = option
    return f"--set {(value or '').partition('=')[0].strip()}" if name == "--set" else name


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
