"""`Shapes`: the points, lines and rings of several entities as tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

POINT, LINE, OUTER, INNER = range(4)  # values of `part_role`


class Shapes(NamedTuple):
    """Geometry of T entities, one entity after the other, without padding.

    An entity consists of parts (points, lines and rings), and a part consists of nodes in order. A ring does not repeat
    its first node. `TileBatch` has fields with the same names and the same meaning.
    """

    node_xy: Tensor  # float [N, 2] in tile units
    node_offsets: Tensor  # int64 [T + 1], first node of each entity
    part_offsets: Tensor  # int64 [T + 1], first part of each entity
    part_node_offsets: Tensor  # int64 [P + 1], first node of each part
    part_role: Tensor  # uint8 [P], 0 point, 1 line, 2 outer ring, 3 inner ring
    edges: Tensor  # int64 [2, E], visibility edges between nodes of different parts, each edge once
    edge_offsets: Tensor  # int64 [T + 1], first visibility edge of each entity

    @property
    def n_entities(self) -> int:
        """Number of entities."""
        return len(self.node_offsets) - 1

    def to(self, device: torch.device | str) -> Shapes:
        """Returns a copy on a device."""
        return Shapes(*(tensor.to(device) for tensor in self))

    def node_entities(self) -> Tensor:
        """Returns the index of each node's entity: int64 [N]."""
        return _owners(self.node_offsets, len(self.node_xy))

    def node_parts(self) -> Tensor:
        """Returns the index of each node's part: int64 [N]."""
        return _owners(self.part_node_offsets, len(self.node_xy))


def _owners(offsets: Tensor, rows: int) -> Tensor:
    owners = torch.arange(len(offsets) - 1, device=offsets.device)
    return owners.repeat_interleave(offsets.diff().long(), output_size=rows)
