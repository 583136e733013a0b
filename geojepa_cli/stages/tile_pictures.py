"""Pictures of tiles, for language models and reports: the image of a tile or, without one, a drawing of its map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import NotFoundError
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.stages.tiles import FILE as TILES_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.store.store import TileStore

    Pixels = NDArray[np.uint8]


class _Source(NamedTuple):
    """Sources of the pictures of n tiles in one region.

    Attributes:
        images: `images/` artifact; None if all pictures are drawn.
        tiles: `tiles/` artifact with the map to draw; None if no picture is drawn.
        places: index of each tile in the list of all pictures, int64 [n].
        zxy: zoom, x and y of the tiles, int64 [n, 3].
        drawn: True for tiles whose picture is drawn, bool [n].
    """

    images: Artifact | None
    tiles: Artifact | None
    places: NDArray[np.int64]
    zxy: NDArray[np.int64]
    drawn: NDArray[np.bool_]


class TilePictures:
    """Pictures of selected tiles. The method `read` reads or draws them.

    Args:
        workspace: workspace with the images.
        regions: `processed/` artifacts of the regions, in the order of the dataset.
        store: dataset of the regions.
        rows: index of each selected tile in the dataset, int64.

    Raises:
        NotFoundError: a tile has no image, and the `tiles/` artifact from which it would be drawn does not exist.
        DataError: the images are damaged.
    """

    def __init__(
        self, workspace: Workspace, regions: Sequence[Artifact], store: TileStore, rows: NDArray[np.int64]
    ) -> None:
        import numpy as np

        self._count = len(rows)
        home = store.tile_regions(rows)
        self._sources = []
        for index, region in enumerate(regions):
            places = np.flatnonzero(home == index)
            if len(places):
                zxy = store.tile_zxy[rows[places]].astype(np.int64)
                self._sources.append(_find_source(workspace, region, places, zxy))

    @property
    def artifacts(self) -> list[Artifact]:
        """Artifacts from which the pictures are made."""
        return [one for source in self._sources for one in (source.images, source.tiles) if one is not None]

    @property
    def drawn(self) -> int:
        """Number of pictures that are drawn from the map."""
        return sum(len(one.places) if shows_drawn_images(one.images) else int(one.drawn.sum()) for one in self._sources)

    @property
    def are_drawn(self) -> list[bool]:
        """For each tile, True if its picture is drawn from the map, now or when the images of its region were made."""
        found = [False] * self._count
        for one in self._sources:
            for place, drawn in zip(one.places.tolist(), one.drawn.tolist(), strict=True):
                found[place] = drawn or shows_drawn_images(one.images)
        return found

    def read(self) -> list[Pixels]:
        """Returns the picture of each tile, uint8 [3, rows, columns].

        Raises:
            DataError: the images, or the tiles to draw, are damaged.
        """
        found: dict[int, Pixels] = {}
        with console.progress("read pictures", self._count) as meter:
            for source in self._sources:
                with rebuilding(source.images, source.tiles):
                    for place, pixels in zip(source.places.tolist(), _read(source), strict=True):
                        found[place] = pixels
                        meter.update(len(found))
        return [found[place] for place in range(self._count)]


def _find_source(workspace: Workspace, region: Artifact, places: NDArray[np.int64], zxy: NDArray[np.int64]) -> _Source:
    import numpy as np

    from geojepa_cli.store.images import ImageStore

    images = joined_images(workspace, region)
    drawn = np.ones(len(places), np.bool_)
    if images is not None:
        with rebuilding(images):
            drawn = ImageStore(images.file(IMAGES_FILE), any_form=True).rows_of(*zxy.T) < 0
    tiles = None
    if drawn.any():
        refs = inputs_of_kind(region, "tiles")
        try:
            tiles = workspace.at(refs[0])
        except (NotFoundError, IndexError):
            message = f"{int(drawn.sum()):,} tiles of `{region.name}` have no image, and there is no map to draw"
            raise NotFoundError(message, hints.run("tile", region=region.name)) from None
    return _Source(None if drawn.all() else images, tiles, places, zxy, drawn)


def _read(source: _Source) -> list[Pixels]:
    """Returns the pictures of the tiles of a region."""
    import numpy as np

    from geojepa_cli.config.drawing import DrawingConfig
    from geojepa_cli.drawing.tiles import TileDrawer
    from geojepa_cli.store.image_form import ImageForm
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    pictures: list[Pixels] = [np.empty(0, np.uint8)] * len(source.places)
    if source.images is not None:
        store = ImageStore(source.images.file(IMAGES_FILE), any_form=True)
        rows = store.rows_of(*source.zxy.T)
        for place in np.flatnonzero(~source.drawn).tolist():
            pictures[place] = np.array(store.image[int(rows[place])][:3])
    if source.tiles is not None:
        region = RegionStore(source.tiles.file(TILES_FILE), source.tiles.name)
        region.check_geometry()
        drawer = TileDrawer(region, DrawingConfig(), ImageForm())
        known = {
            zxy: row for row, zxy in enumerate(zip(*(region[f"tile/{axis}"].tolist() for axis in "zxy"), strict=True))
        }
        for place in np.flatnonzero(source.drawn).tolist():
            pictures[place] = drawer.draw(known[tuple(source.zxy[place].tolist())]).pixels
    return pictures
