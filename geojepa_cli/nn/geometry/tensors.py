"""`GeometryTensors`: the points, lines and rings of a batch of entities as tensors."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

POINT, LINE, OUTER, INNER = range(4)  # roles of parts


class GeometryTensors(Protocol):
    """Input of the geometry encoders. `TileBatch` implements this protocol.

    An entity consists of parts (points, lines and rings), and a part consists of nodes. The nodes and parts of all T
    entities are stored one entity after the other, without padding. If a batch was read without geometry, all fields
    are None.

    Attributes:
        node_xy: coordinates of the nodes, in tile units. Rings do not repeat their first node. float [N, 2]
        node_offsets: position in `node_xy` at which each entity's nodes start; the last value is N. int64 [T+1]
        part_offsets: position in `part_role` at which each entity's parts start; the last value is P. int64 [T+1]
        part_node_offsets: position in `node_xy` at which each part's nodes start; the last value is N. int64 [P+1]
        part_role: 0 point, 1 line, 2 outer ring, 3 inner ring. uint8 [P]
    """

    node_xy: Tensor | None
    node_offsets: Tensor | None
    part_offsets: Tensor | None
    part_node_offsets: Tensor | None
    part_role: Tensor | None
