"""Files that all exports of vectors and models have, and the copy of an export in a folder of the user."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError
from geojepa_cli.workspace.artifact import Artifact

ATTRIBUTION_FILE = "ATTRIBUTION.txt"


def write_json(path: Path, content: object) -> None:
    """Writes a JSON file."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def copy_files(made: Artifact, folder: Path) -> None:
    """Copies the files of an artifact, without its manifest, to a folder. Replaces files of the same names.

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
