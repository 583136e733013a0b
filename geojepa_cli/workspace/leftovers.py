"""Leftovers of killed runs: found, and removed where no process uses them."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

from geojepa_cli.errors import BusyError
from geojepa_cli.workspace.kinds import KINDS
from geojepa_cli.workspace.lock import LOCK, is_held, locked
from geojepa_cli.workspace.manifest import MANIFEST, split_directory
from geojepa_cli.workspace.workspace import Workspace

PARTIAL = ".partial"
DOWNLOADS = "downloads"  # folder of a workspace; a source's id is that of its content, unknown during its download


def find_leftovers(workspace: Workspace) -> list[Path]:
    """Returns what no process uses: `.partial` directories, directories without a manifest, lock files, downloads."""
    paths = [path for kind in KINDS for path in sorted((workspace.root / kind).glob("*@*"))]
    downloads = [path for path in sorted((workspace.root / DOWNLOADS).glob("*")) if _is_download(path)]
    left = [path for path in paths if _is_leftover(path) and not is_held(_lock_of(path))]
    return left + [path for path in downloads if not is_held(_locked_download(path))]


def remove_leftover(path: Path) -> bool:
    """Deletes what `find_leftovers` found.

    Returns:
        False where another process has started to use it since.
    """
    if path.parent.name == DOWNLOADS:
        return _remove_download(path)
    try:
        with locked(_lock_of(path), what=path.name):  # which removes the lock file when it ends
            if path.suffix != LOCK:
                if not _is_leftover(path):
                    return False
                shutil.rmtree(path)
            return True
    except BusyError:
        return False


def _is_leftover(path: Path) -> bool:
    if path.suffix == LOCK:
        # the lock of a directory that is a leftover is removed together with it
        return path.is_file() and not any(_is_leftover(path.with_suffix(end)) for end in (PARTIAL, ""))
    if not path.is_dir() or path.is_symlink():
        return False
    named = split_directory(path.name) != ("", "")
    return path.name.endswith(PARTIAL) or (named and not (path / MANIFEST).is_file())


def _is_download(path: Path) -> bool:
    """Returns True for a whole or partial download; `index-….json` is the copy of an index, which stays."""
    return path.is_file() and not (path.name.startswith("index-") and path.suffix == ".json")


def _locked_download(path: Path) -> Path:
    """Returns the file whose kernel lock `fetch` holds: the download itself, also for its description."""
    return path.with_name(path.name.removesuffix(".json")) if path.name.endswith(f"{PARTIAL}.json") else path


def _remove_download(path: Path) -> bool:
    try:
        with _locked_download(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # removed since, or the description of a download that was removed
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


def _lock_of(path: Path) -> Path:
    """Returns the lock of an artifact's directory, finished or `.partial`; of a lock file itself."""
    return path.with_name(path.name.removesuffix(PARTIAL).removesuffix(LOCK) + LOCK)
