"""Finds and deletes leftovers: files and directories that killed runs left in a workspace."""

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
# folder for downloads in progress; they cannot be stored in `source/` because their id is the hash of their content
DOWNLOADS = "downloads"


def find_leftovers(workspace: Workspace) -> list[Path]:
    """Returns the files and directories that killed runs left in a workspace and that no process uses.

    Leftovers are `.partial` directories, directories of artifacts without a manifest, lock files, and downloads.
    """
    paths = [path for kind in KINDS for path in sorted((workspace.root / kind).glob("*@*"))]
    downloads = [path for path in sorted((workspace.root / DOWNLOADS).glob("*")) if _is_download(path)]
    left = [path for path in paths if _is_leftover(path) and not is_held(_lock_of(path))]
    return left + [path for path in downloads if not is_held(_locked_download(path))]


def is_resumable(path: Path) -> bool:
    """Returns True if `path` is a `.partial` directory with files from which an interrupted command can resume."""
    kind = KINDS.get(path.parent.name)
    if kind is None or not kind.resumes_from or not path.name.endswith(PARTIAL) or not path.is_dir():
        return False
    return all(any(_has_content(file) for file in path.glob(pattern)) for pattern in kind.resumes_from)


def remove_leftover(path: Path) -> bool:
    """Deletes a file or directory that `find_leftovers` returned.

    Returns:
        True if the file or directory was deleted. False if it was kept, because another process now uses it or has
        completed it.
    """
    if path.parent.name == DOWNLOADS:
        return _remove_download(path)
    try:
        with locked(_lock_of(path), what=path.name):  # deletes the lock file on exit
            if path.suffix != LOCK:
                if not _is_leftover(path):
                    return False
                shutil.rmtree(path)
            return True
    except BusyError:
        return False


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _is_leftover(path: Path) -> bool:
    if path.is_symlink() or split_directory(path.name.removesuffix(PARTIAL).removesuffix(LOCK)) == ("", ""):
        return False  # not made by geojepa
    if path.suffix == LOCK:
        # if the directory is a leftover too, its lock file is deleted with it
        return path.is_file() and not any(_is_leftover(path.with_suffix(end)) for end in (PARTIAL, ""))
    return path.is_dir() and (path.name.endswith(PARTIAL) or not (path / MANIFEST).is_file())


def _is_download(path: Path) -> bool:
    """Returns True for complete and partial downloads, and False for the cached Geofabrik index, `index-….json`."""
    return path.is_file() and not (path.name.startswith("index-") and path.suffix == ".json")


def _locked_download(path: Path) -> Path:
    """Returns the file that `fetch` locks while it downloads.

    Args:
        path: file in the folder for downloads. If its name is `x.partial.json`, the file describes the download
            `x.partial`, so `x.partial` is returned. Any other path is returned unchanged.
    """
    return path.with_name(path.name.removesuffix(".json")) if path.name.endswith(f"{PARTIAL}.json") else path


def _remove_download(path: Path) -> bool:
    try:
        with _locked_download(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # deleted meanwhile, or the description of a deleted download
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


def _lock_of(path: Path) -> Path:
    """Returns the path of an artifact's lock file, given its directory, its `.partial` directory or the lock file."""
    return path.with_name(path.name.removesuffix(PARTIAL).removesuffix(LOCK) + LOCK)
