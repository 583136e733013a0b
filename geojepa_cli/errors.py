"""What can go wrong, said to a person: what, where, got and expected; then a hint with a command to paste."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GeojepaError(Exception):
    """An error with a message for people and, where there is one, a way out.

    Attributes:
        message: one line, lower case, no full stop; paths and names in back-ticks.
        hint: a command to paste or a short advice, or None.
        exit_code: 1 for data and I/O, 2 for usage.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


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
    """The person stopped a run (Ctrl-C) that can be gone on with; the hint says how."""

    exit_code = 130


def not_yaml(source: str, error: Exception) -> UsageError:
    """The error for a file that a person wrote and that PyYAML (or UTF-8) refuses, with line and column."""
    hint = "mend the file and run the same command again"
    if isinstance(error, UnicodeDecodeError):
        return UsageError(f"`{source}` is not UTF-8 text: {error.reason}", hint=hint)
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    reason = getattr(error, "problem", None) or " ".join(str(error).split())
    return UsageError(f"`{source}` is not YAML{where}: {reason}", hint=hint)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None where none is alike."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(what: str, name: str, candidates: Iterable[str], hint: str | None = None) -> NotFoundError:
    """The error for a mistyped name: says the nearest one, or a few that exist."""
    names = sorted(set(candidates))
    close = nearest(name, names)
    message = f"unknown {what} `{name}`"
    if close is not None:
        message += f"; did you mean `{close}`?"
    elif names:
        shown = ", ".join(f"`{n}`" for n in names[:8])
        message += f"; there {'is' if len(names) == 1 else 'are'} {shown}" + (" …" if len(names) > 8 else "")
    return NotFoundError(message, hint)
