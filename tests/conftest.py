"""Fixtures that many tests share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from typer import main, testing

# how fast an example is depends on what else the machine does
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# typer reads the signatures of all commands for every command that is run, which takes longer than many commands do.
# Its test client has the function under a private name, which the types of the module do not list: hence the ignore.
main.get_command = testing._get_command = cache(main.get_command)  # type: ignore[attr-defined]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real extracts and imagery next to the checkout (`../shared/data`); skips where that folder does not exist."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in `../shared`, which does not exist here")
    return SHARED / "data"
