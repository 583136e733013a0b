"""Finds and runs the native binary `geojepa-tiler`, and displays its progress."""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.hints import Hint

BINARY = "geojepa-tiler"
VARIABLE = "GEOJEPA_TILER"
PARENT_VARIABLE = "GEOJEPA_PARENT_PID"  # the binary exits when the process with this id exits
MAX_THREADS = 256  # maximum of the binary
MIN_MEMORY = 1 << 20
_SIZE = re.compile(r"(\d{1,18})\s*([KMGT])?(?:i?B)?", re.IGNORECASE)


def find_binary() -> Path:
    """Returns the path of the binary: `$GEOJEPA_TILER` if that is set, otherwise the binary in the package.

    Raises:
        UsageError: `$GEOJEPA_TILER` is not an executable file.
        GeojepaError: the package contains no binary. The message contains the path where the binary should be.
    """
    override = os.environ.get(VARIABLE)
    if override:
        return _named_binary(Path(override))
    path = Path(str(resources.files("geojepa_cli"))) / "bin" / BINARY
    if path.is_file() and os.access(path, os.X_OK):
        return path
    raise GeojepaError(
        f"`{BINARY}` is not installed: `{path}` is not an executable file, and `${VARIABLE}` is not set",
        hints.shell("pip", "install", "--force-reinstall", "geojepa"),
    )


def _named_binary(path: Path) -> Path:
    """Checks the path in `$GEOJEPA_TILER`. Raises `UsageError` if the path is not an executable file."""
    if path.is_dir():
        what = "is a directory"
    elif not path.exists():
        what = "does not exist"
    elif not os.access(path, os.X_OK):
        what = "is not executable"
    else:
        return path
    raise UsageError(f"${VARIABLE} is set to `{path}`, which {what}", hints.shell("unset", VARIABLE))


def version() -> dict[str, Any]:
    """Returns the versions of the binary, its file schema (`schema_version`) and its libraries, as a dict.

    Raises:
        GeojepaError: the binary is missing or cannot be run.
    """
    path = find_binary()
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30)
        return dict(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise GeojepaError(
            f"`{path}` cannot be run: {error}", hints.shell("pip", "install", "--force-reinstall", "geojepa")
        ) from error


def parse_memory(text: str) -> int:
    """Converts a memory size such as `512M`, `1G` or `2GiB` to bytes. K, M, G and T are powers of 1024.

    Raises:
        UsageError: the text is not a size, or the size is not between 1 MiB and 2^60 bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * 1024 ** " KMGT".index((match[2] or " ").upper()) if match else 0
    if not MIN_MEMORY <= size < 1 << 60:
        raise UsageError(
            f"`--memory {text}`: expected a size of at least 1M and less than 2^60 bytes, such as `512M`",
            hints.again(memory="512M"),
        )
    return size


def run(arguments: Sequence[str], description: str, rebuild: Hint | None = None) -> dict[str, Any]:
    """Runs the binary, waits until it exits, and returns the JSON object that it prints on stdout.

    The object contains the results of the binary, such as the number of tiles that it wrote.

    Args:
        arguments: command-line arguments of the binary.
        description: text of the progress display.
        rebuild: hint with the command that rebuilds the input. If the binary fails without a hint, this hint is
            used.

    Raises:
        UsageError: the binary rejected its arguments (exit code 2).
        DataError: the binary could not read or write data (exit code 1), or was killed.
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
            process.kill()  # otherwise it would write to a directory that is being removed
            raise
    if process.returncode == 0:
        try:
            return dict(json.loads(output))
        except ValueError:
            raise DataError(f"`{path}` exited without printing its results", hints.run("doctor")) from None
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
        message, hint = _read_error(errors[-1])
        return kind(message, hint or rebuild)
    output = "\n".join(other)
    if code < 0:
        lack = hints.again().noting("with more memory free") if -code == signal.SIGKILL else hints.run("doctor")
        return DataError(f"`{BINARY}` was killed by signal {-code}" + (f":\n{output}" if output else ""), lack)
    kind = UsageError if code == 2 else DataError
    return kind(f"`{BINARY}` failed with exit code {code}:\n{output}", rebuild or hints.run("doctor"))


def _read_error(event: Mapping[str, Any]) -> tuple[str, Hint | None]:
    """Returns the message and the hint for an error of the binary.

    Args:
        event: JSON object that the binary printed on stderr. It has these keys:
            `message`: the message.
            `advice`: text to append to the message.
            `no_space`: true if the disk is full. The hint is then the command that deletes artifacts.
            `options`: options with which the failed command can be repeated, for the hint.
            `command`: command of another program, for the hint.
    """
    message = str(event["message"])
    if advice := event.get("advice"):
        message = f"{message}; {advice}"
    if event.get("no_space"):
        return message, hints.run("artifacts", prune=True)
    if options := event.get("options"):
        return message, hints.again(**options)
    return message, hints.shell(*event["command"]) if event.get("command") else None
