"""`ResidentTiles`: keeps all tiles in the memory of a device such as a GPU, to make batches without reading files.

In every column (tokens, tags, vertices, lines, rings, visibility edges), the rows of a tile are consecutive. The CPU
knows the first row of each tile in every column, so it never waits for the device to compute the size of a tensor.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geojepa_cli.config.modality import IMAGES, TAGS_ONLY, Modality, Needs
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.image_form import SIZE_PX
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

MEASURED_TILES = 1024  # maximum number of tiles that are read to estimate the size of all tiles
TOKENS = ("box", "kind", "area_m2", "length_m", "piece_rows", "osm_type", "osm_id")


class ResidentTiles:
    """The tiles that a `View` (selection of tiles, tags and entities) selects, in the memory of a device such as a GPU.

    Attributes:
        device: device that holds the tiles.
        nbytes: memory that the tiles take on the device, in bytes.
    """

    def __init__(self, store: TileStore, view: View, device: torch.device | str, needs: Needs = TAGS_ONLY) -> None:
        """Reads the selected tiles, and moves them to a device.

        Args:
            store: dataset to read from.
            view: selection of tiles, tags and entities of the dataset.
            device: device that will hold the tiles.
            needs: modalities to read. Tags and bounding rectangles are always read.
        """
        whole = store.read(view, view.tiles, needs)
        self._place = np.full(store.n_tiles, -1, np.int64)
        self._place[view.tiles] = np.arange(len(view.tiles))
        self._tokens = whole.cu_seqlens.numpy().astype(np.int64)
        self._tags = whole.tag_offsets.numpy()[self._tokens]
        if whole.part_offsets is not None and whole.node_offsets is not None and whole.edge_offsets is not None:
            self._parts, self._nodes, self._edges = (
                ends.numpy()[self._tokens] for ends in (whole.part_offsets, whole.node_offsets, whole.edge_offsets)
            )
        if whole.image_tiles is not None:
            self._images = np.searchsorted(whole.image_tiles.numpy(), np.arange(len(view.tiles) + 1))
        self.device = torch.device(device)
        self._whole = whole.to(self.device)
        self.nbytes = _nbytes(self._whole)

    @staticmethod
    def estimate_bytes(store: TileStore, view: View, needs: Needs = TAGS_ONLY) -> int:
        """Estimates the size of selected tiles in bytes, by reading an evenly spaced sample of these tiles.

        Args:
            store: dataset to read from.
            view: selection of tiles, tags and entities of the dataset.
            needs: modalities to read.
        """
        some = view.tiles[:: -(-len(view.tiles) // MEASURED_TILES) or 1]
        lengths = store.compiled(view).lengths
        share = max(int(lengths[some].sum()), 1) / max(int(lengths[view.tiles].sum()), 1)
        shown = int((store.image_rows[view.tiles] >= 0).sum()) if needs & IMAGES else 0
        per_image = 3 * SIZE_PX**2 if Modality.IMAGE in needs else 0
        if Modality.IMAGE_TOKENS in needs and store.image_kind is not None:
            per_image += 2 * store.image_kind.form.tokens * store.image_kind.form.dim
        return int(_nbytes(store.read(view, some, needs - IMAGES)) / share) + shown * per_image

    def read(self, tiles: npt.ArrayLike) -> TileBatch:
        """Returns tiles as one batch on the device. The batch has the same values as one from `TileStore.read`.

        Args:
            tiles: row numbers, in the dataset's table of tiles, of the tiles to read. The batch has the tiles in this
                order.

        Raises:
            ValueError: one of the tiles is not among the selected tiles.
        """
        rows = np.asarray(tiles, np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self._place) or (self._place[rows] < 0).any()):
            raise ValueError("a tile is not in the view")
        at, whole = self._place[rows], self._whole
        tokens = self._runs(self._tokens, at)
        values = {name: getattr(whole, name)[tokens] for name in TOKENS}
        values["tag_ids"] = whole.tag_ids[self._runs(self._tags, at)]
        values["tag_offsets"] = _ends(whole.tag_offsets.diff()[tokens])
        if whole.geometry is not None:
            values["geometry"] = whole.geometry[tokens]
        if whole.edges is not None:
            values |= self._take_nodes(at, tokens)
        if whole.image_tiles is not None:
            values |= self._take_images(at)
        places = torch.from_numpy(at).to(self.device)
        lengths = torch.from_numpy(np.diff(self._tokens)[at]).to(self.device)
        return TileBatch(
            tile_rows=whole.tile_rows[places],
            tile_zxy=whole.tile_zxy[places],
            cu_seqlens=_ends(lengths).to(torch.int32),
            **values,
        )

    def _take_nodes(self, at: Rows, tokens: Tensor) -> dict[str, Tensor]:
        whole = self._whole
        assert whole.node_xy is not None and whole.node_offsets is not None and whole.edges is not None
        assert whole.part_offsets is not None and whole.part_node_offsets is not None and whole.part_role is not None
        assert whole.edge_offsets is not None
        parts = self._runs(self._parts, at)
        # Edges hold row numbers among the vertices of all tiles. Shift them to row numbers in the batch.
        sizes = np.diff(self._nodes)[at]
        moved = np.cumsum(sizes) - sizes - self._nodes[at]
        shift = torch.from_numpy(np.repeat(moved, np.diff(self._edges)[at])).to(self.device)
        return {
            "node_xy": whole.node_xy[self._runs(self._nodes, at)],
            "node_offsets": _ends(whole.node_offsets.diff()[tokens]),
            "part_offsets": _ends(whole.part_offsets.diff()[tokens]),
            "part_node_offsets": _ends(whole.part_node_offsets.diff()[parts]),
            "part_role": whole.part_role[parts],
            "edges": whole.edges[:, self._runs(self._edges, at)] + shift,
            "edge_offsets": _ends(whole.edge_offsets.diff()[tokens]),
        }

    def _take_images(self, at: Rows) -> dict[str, Tensor]:
        shown = np.flatnonzero(np.diff(self._images)[at])
        rows = torch.from_numpy(self._images[at[shown]]).to(self.device)
        columns = {"images": self._whole.images, "image_tokens": self._whole.image_tokens}
        taken = {name: column[rows] for name, column in columns.items() if column is not None}
        return {**taken, "image_tiles": torch.from_numpy(shown).to(self.device)}

    def _runs(self, ends: Rows, at: Rows) -> Tensor:
        """Returns, for each i in `at`, all integers from ends[i] to ends[i + 1] (excluded).

        The integers of all i are joined in the order of `at` to one int64 tensor on the device.
        """
        counts = np.diff(ends)[at]
        total = int(counts.sum())
        shift = torch.from_numpy(ends[at] - np.cumsum(counts) + counts).to(self.device)
        times = torch.from_numpy(counts).to(self.device)
        return torch.repeat_interleave(shift, times, output_size=total) + torch.arange(total, device=self.device)


def _ends(counts: Tensor) -> Tensor:
    """Returns the cumulative sum of n counts, with a leading 0: int64 [n + 1]."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _nbytes(batch: TileBatch) -> int:
    tensors = (getattr(batch, field.name) for field in fields(batch))
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
