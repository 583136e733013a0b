"""Visibility edges of drawn numbers: the rule is the native binary's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiles_reader import run_tiler

from geojepa_cli import native
from geojepa_cli.config.modality import Modality
from geojepa_cli.glyphs.visibility import visibility_edges
from geojepa_cli.nn.geometry.shapes import OUTER
from geojepa_cli.store.reader import XY_SCALE
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

MOST_NODES = 250  # of a piece that is compared, because the rule in Python is quadratic


def edges_of(*parts: list[tuple[int, int]], per_node: int = 1) -> list[list[int]]:
    """Visibility edges of rings."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    nodes = np.array([xy for part in parts for xy in part])
    return visibility_edges(nodes, starts, np.ones(len(parts), bool), per_node).tolist()


def test_the_nearest_node_hidden_by_an_edge_is_not_joined() -> None:
    viewer = [(0, 0), (-10, 1), (-10, -1)]
    wall = [(4, -20), (4, 20), (5, 21)]
    hidden = [(6, 0), (30, 1), (30, -1)]
    assert [0, 6] not in edges_of(viewer, wall, hidden)
    assert [0, 3] in edges_of(viewer, hidden)


@pytest.mark.parametrize("per_node", [1, 3])
def test_edges_of_real_pieces_equal_those_of_the_binary(shared: Path, tmp_path: Path, per_node: int) -> None:
    run_tiler(shared / "osm" / "harrisburg.osm.pbf", tmp_path / "tiles.h5")
    arguments = ["--input", str(tmp_path / "tiles.h5"), "--output", str(tmp_path / "processed.h5")]
    native.run(["process", *arguments, "--simplify-m", "0.5", "--visibility-k", str(per_node)], "process")
    store = TileStore.open([tmp_path / "processed.h5"])
    batch = store.read(View.full(store), range(store.n_tiles), needs=frozenset({Modality.NODES}))
    lattice = np.rint(batch.node_xy.double().numpy() * XY_SCALE).astype(np.int64)
    nodes, parts, edges = (x.numpy() for x in (batch.node_offsets, batch.part_offsets, batch.edge_offsets))
    begins, rings = batch.part_node_offsets.numpy(), batch.part_role.numpy() >= OUTER
    several = np.flatnonzero((np.diff(parts) > 1) & (np.diff(nodes) <= MOST_NODES))
    for piece in several:
        low, high = nodes[piece], nodes[piece + 1]
        own = slice(parts[piece], parts[piece + 1])
        starts = begins[parts[piece] : parts[piece + 1] + 1] - low
        expected = batch.edges[:, edges[piece] : edges[piece + 1]].T.numpy() - low
        found = visibility_edges(lattice[low:high], starts, rings[own], per_node)
        np.testing.assert_array_equal(found, expected)
    assert len(several) > 100
