"""Rules of the repository that hold on every change: generated files, import layers, no prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def copy_of_generated_inputs(folder: Path) -> Path:
    """The files that the generator reads and writes, in their places."""
    for name in ("native", "tools", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "geojepa_cli/store").mkdir(parents=True)
    shutil.copy(ROOT / "geojepa_cli/store/schema.py", folder / "geojepa_cli/store/schema.py")
    return folder


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "tools/generate_schema.py", "--check"], capture_output=True, text=True
    )


def test_generated_files_agree_with_their_source() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        ("native/schema.yaml", "covers_tile: {dtype: u8", "covers_tile: {dtype: u16"),
        ("native/schema.yaml", "\nversion: 2", "\nversion: 3"),
        ("native/areas.yaml", "building: any", "building: {only: [house]}"),
        ("native/tag_filter.yaml", '- "tiger:*"', '- "lion:*"'),
        ("native/src/columns/schema.hpp", "alignment = 64", "alignment = 32"),
        ("geojepa_cli/store/schema.py", "ALIGNMENT = 64", "ALIGNMENT = 32"),
        ("docs/formats.md", "| `covers_tile` | u8", "| `covers_tile` | u16"),
    ],
)
def test_a_change_in_one_place_without_the_others_is_found(tmp_path: Path, source: str, old: str, new: str) -> None:
    root = copy_of_generated_inputs(tmp_path)
    text = (root / source).read_text()
    assert old in text
    (root / source).write_text(text.replace(old, new, 1))
    done = check(root)
    assert done.returncode == 1
    assert "make schema" in done.stderr


def test_imports_go_downwards_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_no_pickle_and_no_unsafe_loader() -> None:
    forbidden = (
        "import pickle",
        "torch.load(",
        "yaml.unsafe_load",
        "yaml.Loader",
        "yaml.FullLoader",
        "allow_pickle=True",
        "eval(",
    )
    for path in (ROOT / "geojepa_cli").rglob("*.py"):
        text = path.read_text().replace(".eval()", "")
        assert not [word for word in forbidden if word in text], path
