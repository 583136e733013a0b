"""`TileStore`: a dataset whose tiles are read as tensors. A `View` selects the tiles, tags and entities to read."""

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
from geojepa_cli.store.geometry import GeometryStore
from geojepa_cli.store.image_tokens import ImageTokenStore
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import View


class TileStore(Dataset):
    """A dataset whose tiles can be read as tensors. Models read all their data with the method `read`."""

    def __init__(
        self,
        regions: Sequence[RegionStore],
        images: Sequence[ImageStore | None] | None = None,
        geometry: Sequence[GeometryStore] | None = None,
        image_tokens: Sequence[ImageTokenStore | None] | None = None,
    ) -> None:
        super().__init__(regions, images, geometry, image_tokens)
        self._compiled: weakref.WeakKeyDictionary[View, CompiledView] = weakref.WeakKeyDictionary()

    def read(self, view: View, tiles: npt.ArrayLike, needs: Needs = TAGS_ONLY) -> TileBatch:
        """Reads tiles as tensors.

        Args:
            view: selection of tiles, tags and entities of this dataset. Tags and entities that are not selected are
                left out.
            tiles: row numbers, in the dataset's table of tiles, of the tiles to read. The batch has the tiles in this
                order.
            needs: modalities to read. Tags and bounding rectangles are always read. Images, image
                tokens and geometry vectors are read only if the dataset was opened with them.

        Raises:
            ValueError: `view` does not select one of the tiles, or belongs to another dataset.
            DataError: nodes are requested, but the geometry in the file is damaged.
        """
        return gather(self, self.compiled(view), np.asarray(tiles, np.int64), needs)

    def compiled(self, view: View) -> CompiledView:
        """Returns the row numbers of the pieces and tags that a `View` selects.

        A piece is the part of an OSM element inside one tile. The result is cached as long as the `View` exists.

        Args:
            view: selection of tiles, tags and pieces of this dataset.

        Raises:
            ValueError: `view` belongs to another dataset.
        """
        if view.shape != self.shape:
            raise ValueError(f"the view belongs to another dataset: {view.shape}, expected {self.shape}")
        found = self._compiled.get(view)
        if found is None:
            found = self._compiled[view] = CompiledView(self.regions, view)
        return found

    def lengths(self, view: View) -> Rows:
        """Returns the number of tokens (entities) of each selected tile: int64 [selected tiles].

        Args:
            view: selection of tiles, tags and entities of this dataset.
        """
        return self.compiled(view).lengths[view.tiles].astype(np.int64)
