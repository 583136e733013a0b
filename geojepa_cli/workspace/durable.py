"""Writes that survive a power failure, checksums of files, and deletion of empty folders after failed runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 checksum of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flushes the content of a file, or the list of entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Writes a file and flushes its content to disk. The caller must also flush the folder that contains the file."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def holds_a_file(folder: Path) -> bool:
    """Returns True if a folder or one of its subfolders contains a file."""
    return any(path.is_file() for path in folder.rglob("*"))


@contextlib.contextmanager
def without_empty(folders: Sequence[Path]) -> Iterator[None]:
    """Context manager that deletes empty folders if its body fails.

    Args:
        folders: folders to delete if they are empty. A folder must come before the folder that contains it.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for folder in folders:
                folder.rmdir()
        raise
