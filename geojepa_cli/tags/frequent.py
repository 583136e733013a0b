"""List of frequent tags and keys, which comes with the package. `tools/frequent_tags.py` makes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from geojepa_cli.config.names import checksum_version

FILE = Path(__file__).with_name("frequent.txt")
KEY = "{}=*"  # a key with any value


def frequent_tags() -> list[str]:
    """Returns tags (`key=value`) and keys (`key=*`), most frequent first."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def list_version() -> str:
    """Returns the version of the list: `sha256-` and the first digits of the checksum of its tags and keys."""
    return checksum_version(hashlib.sha256("\n".join(frequent_tags()).encode()).hexdigest())
