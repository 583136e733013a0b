"""Rules for the C++ sources that no compiler checks: the length of files, and which folders use which library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "native").rglob("*") if path.suffix in {".cpp", ".hpp"})
MAX_LINES = 400


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def test_no_source_file_is_longer_than_the_limit() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize(
    ("header", "folder"), [(r"osmium/", "read"), (r"hdf5\.h|H5\w+\.h", "columns"), (r"geos_c\.h", "clip")]
)
def test_one_folder_uses_each_library(header: str, folder: str) -> None:
    source = ROOT / "native/src"
    users = [path for path in SOURCES if source in path.parents and any(re.match(header, i) for i in includes(path))]
    assert users
    assert {path.relative_to(source).parts[0] for path in users} == {folder}
