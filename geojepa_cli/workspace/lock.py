"""Locks that only one process can hold: kernel locks on lock files, which contain the id of that process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from geojepa_cli import hints
from geojepa_cli.errors import BusyError

LOCK = ".lock"
_HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Context manager that holds an exclusive lock on a lock file, and deletes the file at the end.

    Args:
        path: path of the lock file. The file and its folder are created if they do not exist.
        what: name of the locked artifact, used in the error message.

    Raises:
        BusyError: another process holds the lock. The message contains the id and the host of that process.
    """
    with _open_locked(path, what) as file:
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": os.uname().nodename, "since": time.time()}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Returns True if a process holds the lock on a lock file. Returns False if the file does not exist."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return True
    return False


def _open_locked(path: Path, what: str) -> IO[str]:
    """Opens and locks a lock file. Repeats both steps if another process deletes the file between them."""
    while True:
        try:
            file = path.open("a+")
        except FileNotFoundError:  # a failed run deletes its folder if that is empty
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    return file
            file.close()
        except OSError as error:
            holder = _describe_holder(file)
            file.close()
            if error.errno not in _HELD:
                raise
            hint = hints.again().noting("after it has finished")
            raise BusyError(f"`{what}` is in use by {holder}", hint) from None


def _describe_holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"
