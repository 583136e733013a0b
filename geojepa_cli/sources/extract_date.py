"""Reads the date of the data from the header of an OSM file."""

from __future__ import annotations

import re
from pathlib import Path

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_KEYS = ("osmosis_replication_timestamp", "timestamp")


def extract_date(path: Path) -> str | None:
    """Returns the date up to which an OSM file has all changes, such as `2024-07-03T00:00:00Z`.

    Returns None if the header has no date or cannot be read.
    """
    import osmium

    try:
        reader = osmium.io.Reader(str(path))
        try:
            header = reader.header()
            found = [header.get(key) for key in _KEYS]
        finally:
            reader.close()
    except (RuntimeError, OSError):
        return None
    return next((date for date in found if _DATE.fullmatch(date)), None)
