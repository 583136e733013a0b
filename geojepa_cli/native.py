"""Finds, checks and runs the native binary `geojepa-tiler`, and turns its events into progress."""

from __future__ import annotations

import collections
import errno
import json
import os
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from geojepa_cli import console
from geojepa_cli.errors import DataError, GeojepaError, UsageError

BINARY = "geojepa-tiler"
VARIABLE = "GEOJEPA_TILER"
PARENT_VARIABLE = "GEOJEPA_PARENT_PID"  # the binary ends when this process does
NO_SPACE = os.strerror(errno.ENOSPC)


def find_binary() -> Path:
    """The binary: `$GEOJEPA_TILER`, else the one installed in the package.

    Raises:
        GeojepaError: there is none; lists every place searched.
    """
    searched = []
    override = os.environ.get(VARIABLE)
    if override:
        searched.append(Path(override))
    searched.append(Path(str(resources.files("geojepa_cli"))) / "bin" / BINARY)
    for path in searched:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    places = "\n  ".join(str(path) for path in searched)
    raise GeojepaError(f"`{BINARY}` is not installed; searched\n  {places}", hint="pip install .")


def version() -> dict[str, Any]:
    """What the binary says of itself: version, schema_version and the versions of its libraries."""
    path = find_binary()
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30)
        return dict(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise GeojepaError(f"`{path}` does not run: {error}", hint="pip install --force-reinstall .") from error


def run(arguments: Sequence[str], description: str) -> dict[str, Any]:
    """Runs the binary to its end and returns its summary.

    Raises:
        UsageError: it refused its arguments (exit 2).
        DataError: it could not read or write its data (exit 1), or was killed.
    """
    path = find_binary()
    errors: list[dict[str, Any]] = []
    other: collections.deque[str] = collections.deque(maxlen=20)
    environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    with subprocess.Popen(
        [path, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            with console.progress(description) as meter:
                for line in process.stderr:
                    _handle(line, description, meter, errors, other)
            output = process.stdout.read()
        except BaseException:
            process.kill()  # an interrupt must not leave it writing into a directory that goes away
            raise
    if process.returncode == 0:
        try:
            return dict(json.loads(output))
        except ValueError:
            raise DataError(f"`{path}` ended without a summary", hint="geojepa doctor") from None
    raise _failure(process.returncode, errors, other)


def _handle(
    line: str, description: str, meter: console.Meter, errors: list[dict[str, Any]], other: collections.deque[str]
) -> None:
    try:
        event = json.loads(line)
        kind = event["event"]
    except (ValueError, KeyError, TypeError):
        other.append(line.rstrip())
        return
    if kind == "progress":
        meter.update(event["done"], event.get("total"), f"{description}: {event['stage']}")
    elif kind == "warning":
        console.warn(event["message"])
    elif kind == "error":
        errors.append(event)


def _failure(code: int, errors: list[dict[str, Any]], other: collections.deque[str]) -> GeojepaError:
    if errors:
        kind = UsageError if code == 2 else DataError
        message, hint = errors[-1]["message"], errors[-1].get("hint") or None
        if NO_SPACE.lower() in message.lower():
            hint = "geojepa --workspace DIR … on a larger disk, or `geojepa artifacts --prune`"
        return kind(message, hint=hint)
    told = "\n".join(other)
    if code < 0:
        return DataError(f"`{BINARY}` was ended by signal {-code}" + (f":\n{told}" if told else ""))
    return (UsageError if code == 2 else DataError)(f"`{BINARY}` failed with exit code {code}:\n{told}")
