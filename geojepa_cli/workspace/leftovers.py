"""What ended runs left in a workspace and no process uses: found, and removed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from geojepa_cli.errors import BusyError
from geojepa_cli.workspace.kinds import KINDS
from geojepa_cli.workspace.lock import locked
from geojepa_cli.workspace.manifest import MANIFEST, split_directory
from geojepa_cli.workspace.workspace import Workspace

LOCK, PARTIAL = ".lock", ".partial"


def find_leftovers(workspace: Workspace) -> list[Path]:
    """Returns `.partial` directories, directories without a manifest, and lock files that no process holds."""
    found = []
    for kind in KINDS:
        for path in sorted((workspace.root / kind).glob("*@*")):
            if _is_leftover(path):
                with contextlib.suppress(BusyError), locked(_lock_of(path), what=path.name):
                    found.append(path)
    return found


def remove_leftover(path: Path) -> bool:
    """Deletes what `find_leftovers` found; False where another process has taken it up since."""
    try:
        with locked(_lock_of(path), what=path.name):
            if path.suffix == LOCK:
                return True  # the lock removes its file
            if _is_leftover(path):
                shutil.rmtree(path)
                return True
    except (BusyError, FileNotFoundError):
        pass
    return False


def _is_leftover(path: Path) -> bool:
    if path.suffix == LOCK:
        # the lock of a directory that is a leftover too goes with it
        return path.is_file() and not any(_is_leftover(path.with_suffix(end)) for end in (PARTIAL, ""))
    if not path.is_dir():
        return False
    named = split_directory(path.name) != ("", "")
    return path.name.endswith(PARTIAL) or (named and not (path / MANIFEST).is_file())


def _lock_of(path: Path) -> Path:
    """Returns the lock of an artifact's directory, finished or `.partial`."""
    return path.with_name(path.name.removesuffix(PARTIAL).removesuffix(LOCK) + LOCK)
