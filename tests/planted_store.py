"""A small region with known signals, for tests of models that learn from tags.

Each tile has a kind. Four in five of its entities have tags of this kind, the others tags of any kind. Some entities of
a tile have the tag `planted=VALUE` in addition. The number of these entities varies between tiles, and so does the
number of those in the western half. The text embeddings of the tags of a kind are similar.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from synthetic_store import Object, write_objects, write_synthetic_features

from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

KINDS, VALUES, WIDTH = 4, 5, 16
SIDE = 16  # tiles
VOCAB = sorted(
    [(f"kind{kind}", f"v{value}") for kind in range(KINDS) for value in range(VALUES)]
    + [("planted", "new"), ("planted", "yes")],
    key=lambda tag: (tag[0].encode(), tag[1].encode()),
)
PLANTED, NEW = VOCAB.index(("planted", "yes")), VOCAB.index(("planted", "new"))


class Planted(NamedTuple):
    """A written region and the true values of its tiles, in the order of the file.

    Attributes:
        folder: folder with `processed.h5` and `tags.h5`.
        kind: kind of each tile. int64 [n]
        count: number of planted entities of each tile. float64 [n]
        west: number of those in the western half. float64 [n]
    """

    folder: Path
    kind: NDArray[np.int64]
    count: NDArray[np.float64]
    west: NDArray[np.float64]

    def store(self) -> TileStore:
        """Opens the region."""
        return TileStore.open([self.folder / "processed.h5"])

    def table(self) -> torch.Tensor:
        """Text embeddings of the tags. `planted=new` has that of `planted=yes`."""
        with h5py.File(self.folder / "tags.h5") as file:
            return torch.from_numpy(file["embedding"][...])

    def view(self) -> View:
        """All tiles."""
        return View.default(self.store(), 1, None)

    def fold(self) -> Fold:
        """Half of the tiles to train on, a quarter for validation, a quarter for testing."""
        order = np.random.default_rng(0).permutation(len(self.kind))
        first, second = len(order) // 2, 3 * len(order) // 4
        return Fold(np.sort(order[:first]), np.sort(order[first:second]), np.sort(order[second:]))


def write_planted(folder: Path, new_after: int | None = None, seed: int = 0) -> Planted:
    """Writes a region of 256 tiles with 12 entities each.

    Args:
        folder: folder to write to.
        new_after: index of the first tile whose planted entities have the tag `planted=new` instead of `planted=yes`.
            None: no tile.
        seed: random seed.
    """
    rng = np.random.default_rng(seed)
    tiles = sorted(
        ((16, 18048 + i % SIDE, 25956 + i // SIDE) for i in range(SIDE * SIDE)),
        key=lambda tile: (tile[2] >> 2, tile[1] >> 2, tile[2], tile[1]),
    )
    kinds = rng.integers(0, KINDS, len(tiles))
    objects: list[Object] = []
    wanted: list[set[int]] = []
    count, west = np.zeros(len(tiles)), np.zeros(len(tiles))
    for tile, kind in enumerate(kinds.tolist()):
        planted = int(rng.integers(0, 9))
        wanted.append(set(range(len(objects), len(objects) + 12)))
        for entity in range(12):
            own = kind if rng.random() < 0.8 else int(rng.integers(KINDS))
            tags = {VOCAB.index((f"kind{own}", f"v{value}")) for value in rng.integers(0, VALUES, 2)}
            x, y = rng.uniform(0, 1, 2)
            if entity < planted:
                tags.add(NEW if new_after is not None and tile >= new_after else PLANTED)
                count[tile] += 1
                west[tile] += x < 0.5
            place = {"type": 0, "kind": 0, "token": 0, "covers": False, "members": [], "centre": (x, y)}
            objects.append({**place, "id": len(objects) + 1, "tags": tags})
    write_objects(folder / "processed.h5", rng, tiles, objects, wanted, VOCAB)
    write_synthetic_features(folder / "tags.h5", len(VOCAB), seed, WIDTH)
    with h5py.File(folder / "tags.h5", "r+") as file:
        table = file["embedding"][...]
        for kind in range(KINDS):
            own = [row for row, (key, _) in enumerate(VOCAB) if key == f"kind{kind}"]
            table[own] = 0.4 * table[own] + 0.6 * table[own[0]]
        table[NEW] = table[PLANTED]
        file["embedding"][...] = table
    return Planted(folder, kinds, count, west)
