"""Exceptions with a message for the user and a hint: a command that solves the problem."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

from geojepa_cli import hints
from geojepa_cli.hints import Hint


class GeojepaError(Exception):
    """Base class of all errors of geojepa.

    Attributes:
        message: one line in lower case without a full stop; paths and names are in back-ticks.
        hint: command that solves the problem. If the hint repeats the failed command, it contains the options that
            the user gave. None if no command helps.
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


class FeatureMismatchError(DataError):
    """The available geometry vectors or image tokens were made by another encoder than the model needs."""


class BusyError(GeojepaError):
    """Another process holds the lock of the artifact."""


class MissingExtraError(GeojepaError):
    """An optional dependency is not installed."""


class InterruptedRunError(GeojepaError):
    """The user stopped a run with Ctrl-C. The hint is the command that resumes it."""

    exit_code = 130


class OtherRankError(GeojepaError):
    """Another process of the same run has failed or was stopped.

    That process prints the error. This process exits without a message.
    """


def wrong_argument(name: str, got: object, expected: str, example: str) -> UsageError:
    """Returns the error for a wrong argument of a Python function. The command line cannot cause this error.

    Args:
        name: name of the argument.
        got: value of the argument; its `repr` is part of the message.
        expected: description of valid values, for the message.
        example: Python expression of a valid value, for the hint.
    """
    try:
        text = repr(got)
    except ValueError:  # Python converts only integers of limited length to text
        text = "an integer with too many digits"
    shown = text if len(text) <= 60 else text[:59] + "…"
    return UsageError(
        f"the argument `{name}` is `{shown}`: expected {expected}", hints.advice(f"pass {name}={example}")
    )


def io_error(error: OSError) -> GeojepaError:
    """Returns the error for a file or directory that cannot be read or written."""
    where = f" at `{error.filename}`" if error.filename else ""
    other = Hint(workspace="DIR")
    if error.errno == errno.ENOSPC:
        hint = hints.run("artifacts", prune=True).or_else(other)
        return GeojepaError(f"no space left on the disk{where}", hint)
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return GeojepaError(f"{reason}{where}", other.noting("with a directory you can write to"))
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        return GeojepaError(f"{reason}{where}", other.noting("with another directory"))
    return GeojepaError(f"{error.strerror or error}{where}", hints.run("doctor"))


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Returns the candidate most similar to `name`, or None if all similarities (0 to 1) are below `cutoff`."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def unknown(
    what: str,
    name: str,
    candidates: Iterable[str],
    hint: Hint | None = None,
    option: str | None = None,
    form: str = "{}",
) -> NotFoundError:
    """Returns the error for an unknown name. The message suggests the most similar name, or lists existing names.

    Args:
        what: type of the thing with this name, such as `region`; used in the message.
        name: unknown name that the user gave.
        candidates: existing names.
        hint: hint of the error. It is not used if `option` is given and an existing name is similar.
        option: option in which the user gave the name, such as `--region`. If an existing name is similar, the hint
            is the failed command with this existing name.
        form: text of the option's value, such as `tiles/{}`. The name replaces `{}`.
    """
    names = sorted(set(candidates))
    close = nearest(name, names)
    message = f"unknown {what} `{name}`"
    if close is not None:
        message += f"; did you mean `{close}`?"
        if option is not None:
            hint = hints.instead((option, form.format(name)), (option, form.format(close)))
    elif names:
        shown = ", ".join(f"`{n}`" for n in names[:8])
        message += f"; available: {shown}" + (" …" if len(names) > 8 else "")
    return NotFoundError(message, hint)
