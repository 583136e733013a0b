"""The directory of a workspace: checks that it can be used."""

from __future__ import annotations

import os
from pathlib import Path

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError, wrong_argument
from geojepa_cli.hints import Hint

OTHER_WORKSPACE = Hint(workspace="DIR").noting("with a directory you can write to")


def check_root(root: object) -> Path:
    """Checks that a directory can be used as a workspace, and returns its path.

    Raises:
        UsageError: `root` is not a path.
        GeojepaError: `root` is a file, or cannot be opened.
    """
    if not isinstance(root, str | Path) or "\0" in str(root) or not str(root):
        raise wrong_argument("root", root, "the path of a directory", f'"{hints.DEFAULT_WORKSPACE}"')
    path = Path(root)
    hint = OTHER_WORKSPACE if hints.running() else hints.advice('pass root="DIR"')
    try:
        is_other = path.exists() and not path.is_dir()
    except OSError as error:
        raise GeojepaError(f"the workspace `{path}` cannot be opened: {error.strerror}", hint) from error
    if is_other:
        raise GeojepaError(f"the workspace `{path}` is not a directory", hint)
    return path


def make_writable(folder: Path) -> None:
    """Creates a directory, and checks that it is writable.

    Raises:
        GeojepaError: the path is a file, or the directory is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise GeojepaError(f"`{folder}` is not a directory", OTHER_WORKSPACE) from error
    if not os.access(folder, os.W_OK):
        raise GeojepaError(f"`{folder}` is not writable", OTHER_WORKSPACE) from None
