"""Files that all exports of vectors and models have, and the copy of an export in a folder of the user."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.workspace.artifact import Artifact

ATTRIBUTION_FILE = "ATTRIBUTION.txt"


def write_json(path: Path, content: object) -> None:
    """Writes a JSON file."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def check_folder(folder: str | Path | None) -> None:
    """Checks before any work that files can be written to a folder, which may not exist yet.

    Raises:
        UsageError: the path, or a path above it, is a file, or cannot be written.
    """
    if folder is None:
        return
    path = Path(folder)
    if "\0" in str(path):
        raise UsageError("`--out` is not a path", hints.again(out="export"))
    known = next(one for one in (path, *path.absolute().parents) if one.exists() or one.is_symlink())
    if not known.is_dir():
        what = "is a file" if known.exists() else "is a broken link"
        raise UsageError(f"`--out {path}`: `{known}` {what}, expected a folder", hints.again(out="export"))
    if not os.access(known, os.W_OK | os.X_OK):
        raise UsageError(f"`--out {path}`: `{known}` cannot be written", hints.again(out="export"))


def copy_files(made: Artifact, folder: Path) -> Artifact:
    """Copies the files of an artifact, without its manifest, to a folder. Replaces files of the same names.

    Returns:
        The artifact.

    Raises:
        GeojepaError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in made.manifest["files"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made.file(name), folder / name)
    except OSError as error:
        message = f"the folder `{folder}` cannot be written: {error.strerror}"
        raise GeojepaError(message, hints.again(out="export")) from error
    return made
