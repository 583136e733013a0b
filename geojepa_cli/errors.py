"""Exceptions with a message for people (what, where, got and expected) and a hint to paste."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from geojepa_cli import hints
from geojepa_cli.hints import Hint


class GeojepaError(Exception):
    """An error with a message for people and, where one helps, a command.

    Attributes:
        message: one line, lower case, no full stop; paths and names in back-ticks.
        hint: the command that helps, completed from the running command; or None.
        exit_code: 1 for data and I/O, 2 for usage.
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
    """A name that does not exist: a region, task, model, tile, entity or key."""


class DataError(GeojepaError):
    """An input or an artifact is unreadable, incomplete or of another schema."""


class BusyError(GeojepaError):
    """Another process holds the lock of the same artifact."""


class MissingExtraError(GeojepaError):
    """An optional dependency is not installed."""


class InterruptedRunError(GeojepaError):
    """A person stopped a run (Ctrl-C); the hint resumes it."""

    exit_code = 130


def not_yaml(source: str, error: Exception) -> UsageError:
    """Builds the error for a hand-written file that PyYAML (or UTF-8) refuses, with line and column."""
    hint = hints.again().noting("after the file is corrected")
    if isinstance(error, UnicodeDecodeError):
        return UsageError(f"`{source}` is not UTF-8 text: {error.reason}", hint)
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    reason = getattr(error, "problem", None) or " ".join(str(error).split())
    return UsageError(f"`{source}` is not YAML{where}: {reason}", hint)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Returns the candidate most similar to `name`, or None where none is similar."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(what: str, name: str, candidates: Iterable[str], hint: Hint | None = None) -> NotFoundError:
    """Builds the error for a mistyped name, with the nearest existing one or a few that exist."""
    names = sorted(set(candidates))
    close = nearest(name, names)
    message = f"unknown {what} `{name}`"
    if close is not None:
        message += f"; did you mean `{close}`?"
    elif names:
        shown = ", ".join(f"`{n}`" for n in names[:8])
        message += f"; there {'is' if len(names) == 1 else 'are'} {shown}" + (" …" if len(names) > 8 else "")
    return NotFoundError(message, hint)
