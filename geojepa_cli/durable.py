"""Files and folders that are to outlive a crash, and what a failed run leaves of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
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
    """Writes a file and waits until it is on disk; the folder's names are the caller's."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def holds_a_file(folder: Path) -> bool:
    """Whether there is a file in a folder or below it."""
    return any(path.is_file() for path in folder.rglob("*"))


@contextlib.contextmanager
def without_empty(folders: Sequence[Path]) -> Iterator[None]:
    """Takes folders away, innermost first, that a failed run made for nothing."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for folder in folders:
                folder.rmdir()
        raise
