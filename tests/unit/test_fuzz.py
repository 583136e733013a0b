"""A short run of the fuzz targets: the reader and the clipper under libFuzzer, ASan and UBSan."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang: tools/setup.sh --check-tools")
def test_the_fuzz_targets_build_and_find_nothing_in_ten_seconds() -> None:
    done = subprocess.run([ROOT / "tools/fuzz.sh", "10"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("number_of_executed_units") == 2
