"""Protocols: names for the knowledge that a model got in pretraining about the tiles on which it is tested.

For example, the protocol `seen` means that pretraining saw tiles of tested groups, and `transfer` means that it saw no
tile of the tested regions. A group is the set of all tiles in one zoom-14 tile. Groups are compared by their position,
not by the name of their region. So a tested group also counts as seen if pretraining saw it as part of another region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geojepa_cli.tasks.splits import Groups, neighbours

NO_PRETRAINING, TRANSFER, UNSEEN_GROUPS = "no pretraining", "transfer", "unseen groups"
SEEN_NEIGHBOURS, UNKNOWN, SEEN = "seen neighbours", "unknown", "seen"
PROTOCOLS = (NO_PRETRAINING, TRANSFER, UNSEEN_GROUPS, SEEN_NEIGHBOURS, UNKNOWN, SEEN)  # from strictest to weakest

MEANINGS = {
    NO_PRETRAINING: "the model learned nothing before the head was fitted",
    TRANSFER: "pretraining saw no tile of the tested regions",
    UNSEEN_GROUPS: "pretraining saw other parts of the tested regions, but neither the tested zoom-14 groups nor those "
    "next to them",
    SEEN_NEIGHBOURS: "pretraining saw zoom-14 groups next to tested ones, but no tested one",
    UNKNOWN: "the model does not record which tiles pretraining saw",
    SEEN: "pretraining saw tested zoom-14 groups, with all tags, but without labels",
}


@dataclass(frozen=True)
class Protocol:
    """Protocol of a model on the tested tiles.

    Attributes:
        name: one of `PROTOCOLS`.
        seen: number of tested groups (zoom-14 tiles) that pretraining saw; None if it is unknown.
        near: number of tested groups that pretraining did not see, although it saw a group next to them; None if it is
            unknown.
        groups: number of tested groups.
    """

    name: str
    seen: int | None
    near: int | None
    groups: int

    def to_json(self) -> dict[str, Any]:
        """Returns the protocol as a dict for JSON."""
        return {"protocol": self.name, "seen_groups": self.seen, "near_groups": self.near, "groups": self.groups}


def find_protocol(seen: Groups | None, tested: Groups, regions: Groups, learned: bool = False) -> Protocol:
    """Returns the protocol of a model on the tested tiles. A group is a zoom-14 tile.

    Args:
        seen: groups with a tile that pretraining saw, int64. Empty if pretraining saw no map tile. None if unknown.
        tested: group of each tested tile, int64.
        regions: group of each tile of the tested regions, int64.
        learned: True if the model was trained on other data than map tiles. Used only if `seen` is empty.
    """
    groups = np.unique(tested)
    if seen is None:
        return Protocol(UNKNOWN, None, None, len(groups))
    if not len(seen):
        return Protocol(TRANSFER if learned else NO_PRETRAINING, 0, 0, len(groups))
    known = np.isin(groups, seen)
    near = np.isin(neighbours(groups), seen).any(axis=1) & ~known
    if known.any():
        name = SEEN
    elif near.any():
        name = SEEN_NEIGHBOURS
    else:
        name = UNSEEN_GROUPS if np.isin(regions, seen).any() else TRANSFER
    return Protocol(name, int(known.sum()), int(near.sum()), len(groups))


def weakest(names: list[str]) -> str:
    """Returns the protocol under which scores prove least about new places: the last of the names in `PROTOCOLS`.

    A name that is not in `PROTOCOLS` counts as `unknown`.

    Args:
        names: names of protocols, at least one.
    """
    return max((name if name in PROTOCOLS else UNKNOWN for name in names), key=PROTOCOLS.index)
