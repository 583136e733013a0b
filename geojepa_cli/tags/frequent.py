"""List of frequent tags and keys, which comes with the package. `tools/frequent_tags.py` makes it."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("frequent.txt")
KEY = "{}=*"  # a key with any value


def frequent_tags() -> list[str]:
    """Returns tags (`key=value`) and keys (`key=*`), most frequent first."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]
