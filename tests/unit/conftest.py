"""A local STAC API and recorded NAIP items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stac_server

from geojepa_cli.sources.naip import Item


@pytest.fixture
def planetary() -> Iterator[stac_server.Planetary]:
    """A STAC API on the local machine, without items."""
    with stac_server.serve() as running:
        yield running


@pytest.fixture(scope="session")
def items(shared: Path) -> list[Item]:
    """The recorded items of a search for NAIP images of Vermont."""
    return stac_server.recorded(shared, "naip-search-intersects")
