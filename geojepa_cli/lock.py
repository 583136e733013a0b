"""An exclusive lock of the kernel's on a file that says who holds it."""

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

from geojepa_cli.errors import BusyError


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds an exclusive lock; the file says who does, and goes with the lock.

    Args:
        path: of the file; its folder is made where it is missing.
        what: is locked, for the message.

    Raises:
        BusyError: another process holds it; says which.
    """
    with _open_locked(path, what) as file:
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": os.uname().nodename, "since": time.time()}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_locked(path: Path, what: str) -> IO[str]:
    """The file, open and locked. One that its holder removed between the opening and the locking is no lock."""
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
            told = _holder(file)
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise BusyError(
                f"`{what}` is being made by {told}", hint="wait for it to end, then run this again"
            ) from None


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "another process"
