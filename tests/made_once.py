"""Folders that are costly to make: made once in a run of all tests, although several processes run them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

MADE = "made"


def made_once(
    name: str, make: Callable[[Path], None], factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A folder that `make` fills. Parallel workers share it, so tests must not change it."""
    base = factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / MADE).exists():
            make(folder)
            (folder / MADE).touch()
    return folder
