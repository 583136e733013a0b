"""The libraries that each folder of the C++ sources may use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "native/src"


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("header", "folder"), [(r"osmium/", "read"), (r"hdf5\.h|H5\w+\.h", "columns"), (r"geos_c\.h", "clip")]
)
def test_one_folder_uses_each_library(header: str, folder: str) -> None:
    files = [path for path in SOURCE.rglob("*") if path.suffix in {".cpp", ".hpp"}]
    users = [path for path in files if any(re.match(header, name) for name in includes(path))]
    assert {path.relative_to(SOURCE).parts[0] for path in users} == {folder}
