"""MapLibre GL, the map library of the page. It comes with the wheel, but not with the source code."""

from __future__ import annotations

from importlib.resources import files

from geojepa_cli import hints
from geojepa_cli.errors import MissingExtraError

FOLDER = "vendor"
FILES = ("maplibre-gl-csp.js", "maplibre-gl-csp-worker.js", "maplibre-gl.css")


def check_library() -> None:
    """Checks that MapLibre GL is part of this installation.

    Raises:
        MissingExtraError: a file is missing. The hint is the command that fetches the files from the npm registry.
    """
    folder = files(__package__).joinpath(FOLDER)
    for name in FILES:
        if not folder.joinpath(name).is_file():
            fetch = hints.shell("python", "tools/npm_files.py", "maplibre-gl").noting("in the source code; needs npm")
            raise MissingExtraError(
                f"the map library MapLibre GL is not part of this installation: `{folder.joinpath(name)}` is missing",
                fetch.or_else(hints.shell("pip", "install", "--force-reinstall", "geojepa")),
            )
