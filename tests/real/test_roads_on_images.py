"""Map and images of one real place lie on each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from roads_on_images import BBOX, contrast, read


@pytest.fixture(scope="module")
def workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("roads") / "workspace"
    asked = ("--pbf", str(shared / "osm/san-francisco-2014.osm"), "--imagery", str(shared / "naip/tiles"))
    for stage in (("fetch", *asked, "--name", "sf", f"--bbox={BBOX}"), ("tile",)):
        command = [sys.executable, "-P", "-m", "geojepa_cli", "--workspace", str(root), *stage]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return root


def test_roads_lie_on_the_roads_of_the_image(workspace: Path) -> None:
    """Fifteen metres off, in whichever direction, they do so less."""
    scene = read(workspace)
    assert scene.covered.all() and scene.tiles == 10
    here = contrast(scene, 0, 0)
    off = {(east, south): contrast(scene, east, south) for east, south in ((15, 0), (-15, 0), (0, 15), (0, -15))}
    print(f"contrast {here:.2f}; 15 m off (east, south): {off}")
    assert here > max(off.values())
