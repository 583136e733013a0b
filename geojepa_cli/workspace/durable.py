"""Writes that survive a power failure, checksums of files, and deletion of files and empty folders."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
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
    """Writes a UTF-8 file, and flushes it to disk. The caller must also flush the folder that contains the file."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Deletes a file, or a directory with its content. Of a symbolic link, only the link is deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
