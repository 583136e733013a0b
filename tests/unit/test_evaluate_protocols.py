"""Protocols: which tested groups pretraining saw, by the extents of the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from geojepa_cli.evaluate.protocols import find_protocol, weakest


def _block(x: int, y: int, width: int, height: int) -> np.ndarray:
    """A block of zoom-14 groups, in the encoding of `TileStore.groups`."""
    return np.array([column << 32 | row for column in range(x, x + width) for row in range(y, y + height)], np.int64)


REGION = _block(4000, 6000, 10, 10)
CORNER = _block(4000, 6000, 2, 2)


@pytest.mark.parametrize(
    ("seen", "name", "count", "near"),
    [
        (_block(4500, 6000, 10, 10), "transfer", 0, 0),
        (_block(4008, 6008, 9, 9), "unseen groups", 0, 0),
        (_block(4003, 6000, 7, 10), "unseen groups", 0, 0),
        (_block(4002, 6000, 8, 10), "seen neighbours", 0, 2),
        (_block(3998, 5998, 2, 2), "seen neighbours", 0, 1),  # another region that touches a corner
        (_block(4001, 6001, 9, 9), "seen", 1, 3),
        (_block(3990, 5990, 40, 40), "seen", 4, 0),
        (_block(0, 0, 0, 0), "no pretraining", 0, 0),
    ],
)
def test_the_protocol_depends_on_the_groups_that_pretraining_saw(
    seen: np.ndarray, name: str, count: int, near: int
) -> None:
    found = find_protocol(seen, np.repeat(CORNER, 3), np.repeat(REGION, 2))
    assert (found.name, found.seen, found.near, found.groups) == (name, count, near, 4)


def test_a_model_without_a_record_is_unknown() -> None:
    assert find_protocol(None, CORNER, REGION).to_json() == {
        "protocol": "unknown",
        "seen_groups": None,
        "near_groups": None,
        "groups": 4,
    }


def test_the_weakest_protocol_stands_for_several() -> None:
    assert weakest(["transfer", "seen", "unknown"]) == "seen"
    assert weakest(["no pretraining", "transfer"]) == "transfer"
    assert weakest(["seen neighbours", "unseen groups"]) == "seen neighbours"
