"""Exclusive locks: a kernel lock on a file that names its holder."""

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
    """Holds an exclusive lock. The file names the process, and is removed with the lock.

    Args:
        path: lock file; its folder is created where it is missing.
        what: name of the locked thing, for the message.

    Raises:
        BusyError: another process holds it; the message has its process id and host.
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
    """Returns True where a process holds the lock; the file, which may be missing, is not changed."""
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
    """Opens and locks the file; tries again where its holder removed it between opening and locking."""
    while True:
        try:
            file = path.open("a+")
        except FileNotFoundError:  # a run that failed took its empty folder away
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
            hint = hints.again().noting("once it has ended")
            raise BusyError(f"`{what}` is being made by {holder}", hint) from None


def _describe_holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"
