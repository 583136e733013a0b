"""`TileStore`: reads tiles of a dataset through a view, as tensors."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geojepa_cli.config.modality import TAGS_ONLY, Needs
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.compiled_view import CompiledView
from geojepa_cli.store.dataset import Dataset, Rows
from geojepa_cli.store.gather import gather
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import View


class TileStore(Dataset):
    """A dataset whose tiles can be read: `read` is the only way from the files to a model."""

    def __init__(self, regions: Sequence[RegionStore], images: Sequence[ImageStore | None] | None = None) -> None:
        super().__init__(regions, images)
        self._compiled: weakref.WeakKeyDictionary[View, CompiledView] = weakref.WeakKeyDictionary()

    def read(self, view: View, tiles: npt.ArrayLike, needs: Needs = TAGS_ONLY) -> TileBatch:
        """Reads tiles as tensors.

        Args:
            view: the tiles, tags and pieces that are seen.
            tiles: rows of the dataset; the batch has them in this order.
            needs: the modalities to read. Tags and boxes are always read.

        Raises:
            ValueError: a tile is not in the view, or the view belongs to another dataset.
            DataError: geometry is needed and damaged.
        """
        return gather(self, self.compiled(view), np.asarray(tiles, np.int64), needs)

    def compiled(self, view: View) -> CompiledView:
        """Returns the view prepared for the gather; it is made once and kept as long as the view lives."""
        if view.shape != self.shape:
            raise ValueError(f"the view belongs to another dataset: {view.shape}, expected {self.shape}")
        found = self._compiled.get(view)
        if found is None:
            found = self._compiled[view] = CompiledView(self.regions, view)
        return found

    def lengths(self, view: View) -> Rows:
        """Returns the tokens of every kept tile, in the order of `view.tiles`: int64."""
        return self.compiled(view).lengths[view.tiles].astype(np.int64)
