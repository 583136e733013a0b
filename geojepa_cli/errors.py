"""Exceptions with a message for the user and a hint: a command that solves the problem."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from geojepa_cli import hints
from geojepa_cli.hints import Hint


class GeojepaError(Exception):
    """Base class of all errors of geojepa.

    Attributes:
        message: one line in lower case without a full stop; paths and names are in back-ticks.
        hint: command that solves the problem, completed with the options of the running command; None if no command
            helps.
        exit_code: exit code of the command line: 1 for data and I/O errors, 2 for usage errors.
    """

    exit_code = 1

    def __init__(self, message: str, hint: Hint | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = None if hint is None else hint.completed(hints.running())


class UsageError(GeojepaError):
    """The command line or a configuration is wrong."""

    exit_code = 2


class NotFoundError(UsageError):
    """There is no region, task, model, tile, entity or key with the given name."""


class DataError(GeojepaError):
    """An input or artifact cannot be read, is incomplete, or has another schema version."""


class BusyError(GeojepaError):
    """Another process holds the lock of the artifact."""


class MissingExtraError(GeojepaError):
    """An optional dependency is not installed."""


class InterruptedRunError(GeojepaError):
    """The user stopped a run with Ctrl-C. The hint is the command that resumes it."""

    exit_code = 130


def not_yaml(source: str, error: Exception) -> UsageError:
    """Returns the error for a file that is not valid YAML or UTF-8, with line and column."""
    hint = hints.again().noting("after the file is corrected")
    if isinstance(error, UnicodeDecodeError):
        return UsageError(f"`{source}` is not UTF-8 text: {error.reason}", hint)
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    reason = getattr(error, "problem", None) or " ".join(str(error).split())
    return UsageError(f"`{source}` is not YAML{where}: {reason}", hint)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Returns the candidate that is most similar to `name`, or None if none is similar."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(what: str, name: str, candidates: Iterable[str], hint: Hint | None = None) -> NotFoundError:
    """Returns the error for an unknown name. Its message suggests the most similar name, or lists existing names."""
    names = sorted(set(candidates))
    close = nearest(name, names)
    message = f"unknown {what} `{name}`"
    if close is not None:
        message += f"; did you mean `{close}`?"
    elif names:
        shown = ", ".join(f"`{n}`" for n in names[:8])
        message += f"; available: {shown}" + (" …" if len(names) > 8 else "")
    return NotFoundError(message, hint)
