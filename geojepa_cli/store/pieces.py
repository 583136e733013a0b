"""Reads the geometry of consecutive pieces (parts of OSM elements inside single tiles), without a view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geojepa_cli.store import csr
from geojepa_cli.store.csr import Array, Rows
from geojepa_cli.store.reader import RegionStore, decode_xy


class PieceGeometry(NamedTuple):
    """Geometry of T pieces (parts of OSM elements in a tile), packed without padding.

    Each field has the same meaning as the field of `TileBatch` with this name.
    """

    node_xy: Tensor  # float32 [N, 2] in tile units
    node_offsets: Tensor  # int64 [T + 1]
    part_offsets: Tensor  # int64 [T + 1]
    part_node_offsets: Tensor  # int64 [P + 1]
    part_role: Tensor  # uint8 [P], 0 point, 1 line, 2 outer ring, 3 inner ring
    edges: Tensor  # int64 [2, E], visibility edges between nodes
    edge_offsets: Tensor  # int64 [T + 1]


def piece_spans(region: RegionStore, max_nodes: int, max_pieces: int) -> Iterator[tuple[int, int]]:
    """Divides the pieces of a region into runs of consecutive pieces with a limited number of nodes.

    Args:
        region: opened `processed.h5`.
        max_nodes: maximum number of nodes in a run. A piece with more nodes is a run by itself.
        max_pieces: maximum number of pieces in a run.

    Yields:
        First piece and last piece + 1 of each run.
    """
    ends = csr.take_offsets(region["part/nodes"], region["piece/parts"].astype(np.int64))
    first, count = 0, region.n_pieces
    while first < count:
        fitting = int(np.searchsorted(ends, ends[first] + max_nodes, side="right")) - 1
        last = min(max(fitting, first + 1), first + max_pieces, count)
        yield first, last
        first = last


def read_pieces(region: RegionStore, first: int, last: int) -> PieceGeometry:
    """Reads the geometry of the pieces (parts of OSM elements in a tile) in rows `first` to `last` (excluded).

    Raises:
        DataError: the geometry in the file is damaged.
    """
    region.check_geometry()
    parts, edge_ends = _span(region["piece/parts"], first, last), _span(region["piece/edges"], first, last)
    part_nodes = _span(region["part/nodes"], int(parts[0]), int(parts[-1]))
    nodes = part_nodes[parts - parts[0]]
    edges = region["edge/ends"][edge_ends[0] : edge_ends[-1]].astype(np.int64)
    edges += np.repeat(nodes[:-1] - nodes[0], np.diff(edge_ends))[:, None]
    fields = (
        decode_xy(region["node/xy"][part_nodes[0] : part_nodes[-1]]).copy(),
        nodes - nodes[0],
        parts - parts[0],
        part_nodes - part_nodes[0],
        region["part/role"][parts[0] : parts[-1]].copy(),
        np.ascontiguousarray(edges.T),
        edge_ends - edge_ends[0],
    )
    return PieceGeometry(*map(torch.from_numpy, fields))


def _span(ends: Array, first: int, last: int) -> Rows:
    """Returns the CSR offsets from `ends[first]` to `ends[last]` (included), converted to int64."""
    return ends[first : last + 1].astype(np.int64)
