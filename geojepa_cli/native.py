"""Finds, checks and runs the native binary `geojepa-tiler`, and turns its events into progress."""

from __future__ import annotations

import collections
import errno
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.hints import Hint, Invocation

BINARY = "geojepa-tiler"
VARIABLE = "GEOJEPA_TILER"
PARENT_VARIABLE = "GEOJEPA_PARENT_PID"  # the binary ends when this process does
MAX_THREADS = 256  # the binary refuses more
MIN_MEMORY = 1 << 20
_SIZE = re.compile(r"(\d{1,18})\s*([KMGT])?(?:i?B)?", re.IGNORECASE)
NO_SPACE = os.strerror(errno.ENOSPC)
_PROGRAMS = ("osmium ", "gunzip ", "bunzip2 ")  # whose commands the binary proposes


def find_binary() -> Path:
    """Returns the binary named by `$GEOJEPA_TILER` or, where that is not set, the one installed in the package.

    Raises:
        UsageError: `$GEOJEPA_TILER` is not an executable file.
        GeojepaError: the package has no binary; the message has the places that were searched.
    """
    override = os.environ.get(VARIABLE)
    if override:
        return _named_binary(Path(override))
    path = Path(str(resources.files("geojepa_cli"))) / "bin" / BINARY
    if path.is_file() and os.access(path, os.X_OK):
        return path
    raise GeojepaError(
        f"`{BINARY}` is not installed; searched\n  {path}\n  ${VARIABLE}, unset",
        hints.shell("pip", "install", "--force-reinstall", "geojepa"),
    )


def _named_binary(path: Path) -> Path:
    """Checks the binary that a person chose: silently taking another one would hide the mistake."""
    if path.is_dir():
        what = "is a directory"
    elif not path.exists():
        what = "does not exist"
    elif not os.access(path, os.X_OK):
        what = "is not executable"
    else:
        return path
    raise UsageError(f"`{path}`, named by ${VARIABLE}, {what}", hints.shell("unset", VARIABLE))


def version() -> dict[str, Any]:
    """Returns the binary's `version`, `schema_version` and the versions of its libraries."""
    path = find_binary()
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30)
        return dict(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise GeojepaError(
            f"`{path}` does not run: {error}", hints.shell("pip", "install", "--force-reinstall", "geojepa")
        ) from error


def check_threads(threads: int) -> None:
    """Checks a number of threads: each is a real thread with its buffers.

    Raises:
        UsageError: fewer than one, or more than the binary starts.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(
            f"`--threads {threads}`: expected 1 to {MAX_THREADS}", hints.again(threads=os.cpu_count() or 1)
        )


def parse_memory(text: str) -> int:
    """Returns the bytes of a size such as `512M`, `1G` or `2GiB`; K, M, G and T are powers of 1024.

    Raises:
        UsageError: not a size, or below 1 MiB or above 2^60 bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * 1024 ** " KMGT".index((match[2] or " ").upper()) if match else 0
    if not MIN_MEMORY <= size < 1 << 60:
        raise UsageError(f"`--memory {text}` is not a size of 1M or more", hints.again(memory="512M"))
    return size


def run(arguments: Sequence[str], description: str, rebuild: Hint | None = None) -> dict[str, Any]:
    """Runs the binary to its end and returns its summary.

    Args:
        arguments: of the binary.
        description: for the progress display.
        rebuild: the command that makes its input again, which is the hint where the binary gives none.

    Raises:
        UsageError: the binary refused its arguments (exit 2).
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
            process.kill()  # or it would continue to write into a directory that is removed
            raise
    if process.returncode == 0:
        try:
            return dict(json.loads(output))
        except ValueError:
            raise DataError(f"`{path}` ended without a summary", hints.run("doctor")) from None
    raise _failure(process.returncode, errors, other, rebuild)


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


def _failure(
    code: int, errors: list[dict[str, Any]], other: collections.deque[str], rebuild: Hint | None
) -> GeojepaError:
    if errors:
        kind = UsageError if code == 2 else DataError
        message, text = str(errors[-1]["message"]), str(errors[-1].get("hint") or "")
        hint = _event_hint(text)
        if hint is None and text and not text.startswith(BINARY):  # words that explain
            message = f"{message}; {text}"
        if NO_SPACE.lower() in message.lower():
            hint = hints.run("artifacts", prune=True)
        return kind(message, hint or rebuild)
    output = "\n".join(other)
    if code < 0:
        lack = hints.again().noting("with more memory free") if -code == signal.SIGKILL else hints.run("doctor")
        return DataError(f"`{BINARY}` was ended by signal {-code}" + (f":\n{output}" if output else ""), lack)
    kind = UsageError if code == 2 else DataError
    return kind(f"`{BINARY}` failed with exit code {code}:\n{output}", rebuild or hints.run("doctor"))


def _event_hint(text: str) -> Hint | None:
    """Returns the hint of an error event, if it is options for the failed command or another program's command."""
    if text.startswith("--"):
        return Hint(options=Invocation.parse(shlex.split(text)).options)
    return Hint(shell=text) if text.startswith(_PROGRAMS) else None
