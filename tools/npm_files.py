"""Fetches files of npm packages with `npm pack`: MapLibre GL for the page of `geojepa explore`, and axe-core for tests.

The version and the SHA-512 of each package are fixed. Files that exist are not fetched again.

    python tools/npm_files.py maplibre-gl [--out FOLDER]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Package(NamedTuple):
    """A package: version, integrity as in npm's lock files, files to keep by their new names, and their folder."""

    version: str
    integrity: str
    files: dict[str, str]
    folder: Path


PACKAGES = {
    "maplibre-gl": Package(
        "5.24.1",
        "sha512-HyiYBwtsbk3L1n1EPLJHWqdoyMiF80n7tEYXFZyu2m1TjvaNx6KMLiFeDdmszt1/mq2zvsR1TJuX/NMu5BonXQ==",
        {
            "maplibre-gl-csp.js": "package/dist/maplibre-gl-csp.js",
            "maplibre-gl-csp-worker.js": "package/dist/maplibre-gl-csp-worker.js",
            "maplibre-gl.css": "package/dist/maplibre-gl.css",
            "LICENSE-maplibre-gl.txt": "package/LICENSE.txt",
        },
        ROOT / "geojepa_cli/pages/explorer/vendor",
    ),
    "axe-core": Package(
        "4.14.1",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {"axe.min.js": "package/axe.min.js", "LICENSE-axe-core.txt": "package/LICENSE"},
        ROOT / "build/axe-core",
    ),
}


def fetch(name: str, out: Path | None = None) -> None:
    """Writes the files of a package to a folder.

    Args:
        name: name of the package.
        out: the folder. Default: the place where the package is used in the checkout.
    """
    package = PACKAGES[name]
    folder = out or package.folder
    stamp = folder / f"{name}.version"
    if (
        stamp.is_file()
        and stamp.read_text() == package.integrity
        and all((folder / f).is_file() for f in package.files)
    ):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"error: {name} {package.version} comes from npm, which is not installed\n\nhint: apt-get install npm")
    with tempfile.TemporaryDirectory() as temporary:
        command = [npm, "pack", "--silent", "--pack-destination", temporary, f"{name}@{package.version}"]
        if subprocess.run(command, cwd=temporary, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"error: npm cannot fetch {name}@{package.version}\n\nhint: npm pack {name}@{package.version}")
        (archive,) = Path(temporary).glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.integrity:
            sys.exit(f"error: {name} {package.version} has the checksum {found}, expected {package.integrity}")
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            for target, member in package.files.items():
                file = tar.extractfile(member)
                assert file is not None, member
                (folder / target).write_bytes(file.read())
    stamp.write_text(package.integrity)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=sorted(PACKAGES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    fetch(given.package, given.out)
