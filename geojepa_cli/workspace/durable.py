"""Writes that survive a crash, and cleaning up after a failed run."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Writes a file and waits until its content is on disk; the caller flushes the folder."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def holds_a_file(folder: Path) -> bool:
    """Returns True where a folder or one below it holds a file."""
    return any(path.is_file() for path in folder.rglob("*"))


@contextlib.contextmanager
def without_empty(folders: Sequence[Path]) -> Iterator[None]:
    """Removes the empty ones of these folders, innermost first, when the run inside fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for folder in folders:
                folder.rmdir()
        raise
