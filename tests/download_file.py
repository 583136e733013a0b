"""One file on a faulty server, and its download."""

from __future__ import annotations

import random
from pathlib import Path

from geofabrik_server import Geofabrik

from geojepa_cli.sources.download import downloaded
from geojepa_cli.sources.http import RetryPolicy

CONTENT = random.Random(1).randbytes(3_000_000)
OTHER = random.Random(2).randbytes(3_000_000)
PATH = "/us/x-latest.osm.pbf"
QUICK = RetryPolicy(attempts=4, pause_s=0.01, max_pause_s=0.05, timeout_s=0.5)


def load(server: Geofabrik, folder: Path, policy: RetryPolicy = QUICK) -> bytes:
    """Downloads, and asserts that nothing but the file remains."""
    with downloaded(server.url + PATH, folder / "x", policy=policy) as path:
        assert path == folder / "x"
    assert [path.name for path in folder.iterdir()] == ["x"]
    return (folder / "x").read_bytes()
