"""Partial downloads: names of their files, and a file lock that stays in force when the file is renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from geojepa_cli import hints
from geojepa_cli.errors import BusyError

PARTIAL = ".partial"
STATE = ".partial.json"


def partial_of(target: Path) -> Path:
    """Returns the path of the partial download of `target`."""
    return target.with_name(target.name + PARTIAL)


def state_of(target: Path) -> Path:
    """Returns the path of the JSON file that records the URL and the version of the partial download of `target`."""
    return target.with_name(target.name + STATE)


def remove_partial(target: Path) -> None:
    """Removes the partial download of `target` and the JSON file that describes the download."""
    for path in (partial_of(target), state_of(target)):
        path.unlink(missing_ok=True)


@contextmanager
def locked_file(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Opens a file and locks it exclusively (`flock`). The file keeps the lock when it is renamed.

    Raises:
        BusyError: another process holds the lock.
    """
    while True:
        with path.open(mode) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                hint = hints.again().noting("once it has ended")
                raise BusyError(f"`{path}` is in use by another process", hint) from None
            if is_same_file(file, path):
                yield file
                return


def is_same_file(file: IO[bytes], path: Path) -> bool:
    """Returns True if the open file is still at `path`. Another process may have renamed or removed the file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
