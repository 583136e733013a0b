"""`images.h5`: reads and writes the images of a region's tiles, as one uncompressed array or as WebP.

Every image is stored with the zoom, x and y of its tile. Readers find the image of a tile by these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import MAX_ZOOM, TileId
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, map_columns, write_text
from geojepa_cli.store.image_files import find_images, read_image
from geojepa_cli.store.image_form import BANDS, MAX_PX, MIN_PX, RAW, SIZE_PX, ImageForm, PackedImages, pack_all

EXPECTED = Expected(
    schema.VERSION,
    {
        **{axis: ColumnSpec(("<u4",)) for axis in "zxy"},
        "image": ColumnSpec(("<u1",), (None, None, None, None), optional=True),
        "webp": ColumnSpec(("<u1",), optional=True),
        "webp_offsets": ColumnSpec(("<u8",), optional=True),
    },
    {"bands": str, "size_px": int},
)
_REBUILD = hints.run("tile")
_MODEL_FORM = hints.run("tile", image_size=SIZE_PX, bands="rgb")


class ImageStore:
    """The images of one region's tiles, from a memory-mapped `images.h5`. WebP images are decoded when they are read.

    Attributes:
        image: uint8 [n, 3, 224, 224], RGB. If the file was opened with `any_form=True`, images may have other bands and
            sizes.
        zxy: int64 [n, 3], zoom, x and y of each image's tile.
    """

    def __init__(self, path: Path | str, any_form: bool = False) -> None:
        """Opens an `images.h5`.

        Args:
            path: path of the `images.h5`.
            any_form: False to accept only images that models can read (224 × 224 px, RGB). True to accept square images
                with 3 or 4 bands and a side of 16 to 4,096 px.

        Raises:
            DataError: the file is unreadable or damaged, has another schema, lacks a column, or has images with a size
                or bands that are not accepted.
        """
        self.path, self._any_form = Path(path), any_form
        columns, attributes = map_columns(self.path, EXPECTED, _REBUILD)
        packed = "webp" in columns
        for name in ("webp", "webp_offsets") if packed else ("image",):
            if name not in columns:
                raise DataError(f"`{self.path}` has no column `{name}`", _REBUILD)
        if len({len(columns[axis]) for axis in "zxy"}) > 1:
            raise DataError(f"columns `z`, `x` and `y` of `{self.path}` differ in length", _REBUILD)
        self.zxy = np.stack([columns[axis] for axis in "zxy"], 1).astype(np.int64)
        if packed:
            side = int(str(attributes.get("size_px", 0)))
            shape = (BANDS.get(str(attributes.get("bands")), 0), side, side)
            offsets = columns["webp_offsets"]
            if len(offsets) == 0 or int(offsets[-1]) > len(columns["webp"]) or (offsets[1:] < offsets[:-1]).any():
                what = "`webp_offsets` decrease or exceed the length of `webp`"
                raise DataError(f"`{self.path}` is damaged: {what}", VERIFY)
            self.image: Any = PackedImages(columns["webp"], offsets, shape, str(self.path))
        else:
            self.image = columns["image"]
        self._check_form()
        self._check_tiles()

    def _check_form(self) -> None:
        shape, n = self.image.shape, len(self.zxy)
        if self._any_form:
            fits = shape[:1] == (n,) and shape[1] in BANDS.values() and MIN_PX <= shape[2] == shape[3] <= MAX_PX
        else:
            fits = shape == (n, 3, SIZE_PX, SIZE_PX)
        if not fits:
            expected = [n, "3 or 4", "side", "side"] if self._any_form else [n, 3, SIZE_PX, SIZE_PX]
            raise DataError(
                f"`image` of `{self.path}` is uint8 {list(shape)}, expected {expected}: "
                f"models read RGB images of {SIZE_PX} × {SIZE_PX} px",
                _MODEL_FORM,
            )

    def _check_tiles(self) -> None:
        z, x, y = self.zxy.T
        if len(z) and (z.max() > MAX_ZOOM or (np.maximum(x, y) >= 1 << z).any()):
            raise DataError(f"`{self.path}` is damaged: the zoom, x or y of a tile is out of range", VERIFY)

    def __len__(self) -> int:
        return len(self.zxy)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageStore, (self.path, self._any_form))

    def rows_of(self, z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Returns the row of each given tile's image: int64 [tiles]. -1 for a tile without an image."""
        wanted = _keys(np.stack([np.asarray(axis, np.int64) for axis in (z, x, y)], -1))
        have = _keys(self.zxy)
        if len(have) == 0:
            return np.full(wanted.shape, -1, np.int64)
        order = np.argsort(have, kind="stable")
        found = np.minimum(np.searchsorted(have[order], wanted), len(have) - 1)
        rows = order[found]
        return np.where(have[rows] == wanted, rows, -1).astype(np.int64)


def write_images(
    folder: Path,
    path: Path,
    zoom: int | None = None,
    resize: bool = False,
    progress: Callable[[int, int], None] | None = None,
    codec: str = RAW,
    threads: int = 1,
) -> int:
    """Writes the image tiles of a folder to an `images.h5`. Returns the number of images.

    Args:
        folder: folder with image tiles `zoom_x_y.webp`, `.png` or `.jpg` of 224 × 224 px. Other files are ignored.
        path: path of the `images.h5` to write.
        zoom: zoom of the tiles to write. Default: tiles of every zoom.
        resize: True to resize square images of other sizes to 224 px (Lanczos). If False, another size is an error.
        progress: function that is called after each image with (number of images done, number of all images).
        codec: encoding of the pixels: `raw` (uncompressed), `webp-lossless` or `webp`.
        threads: number of threads that encode images.

    Raises:
        DataError: an image cannot be decoded or has another size.
    """
    images = [(tile, file) for tile, file in find_images(folder) if zoom is None or tile.z == zoom]

    def read() -> Iterator[npt.NDArray[np.uint8]]:
        for row, (_, file) in enumerate(images, 1):
            yield read_image(file, resize)
            if progress is not None:
                progress(row, len(images))

    path.parent.mkdir(parents=True, exist_ok=True)
    create_images(path, [tile for tile, _ in images], ImageForm(codec=codec), read(), threads)
    return len(images)


def create_images(
    path: Path, tiles: Sequence[TileId], form: ImageForm, images: Iterable[npt.NDArray[np.uint8]], threads: int = 1
) -> None:
    """Creates an `images.h5` with the images of tiles.

    Args:
        path: path of the `images.h5` to create.
        tiles: tiles of the images.
        form: size, bands and codec of the images.
        images: image of each tile, in the order of `tiles`.
        threads: number of threads that encode images.
    """
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as out:
        put_images(out, tiles, form, images, threads)


def put_images(
    out: h5py.File,
    tiles: Sequence[TileId],
    form: ImageForm,
    images: Iterable[npt.NDArray[np.uint8]],
    threads: int = 1,
) -> None:
    """Writes attributes, tiles (zoom, x and y) and images to an opened `images.h5`.

    Args:
        out: `images.h5` opened for writing.
        tiles: tiles of the images.
        form: size, bands and codec of the images.
        images: image of each tile, in the order of `tiles`.
        threads: number of threads that encode images.
    """
    out.attrs["schema_version"] = np.uint32(schema.VERSION)
    write_text(out, "kind", "images")
    write_text(out, "bands", form.bands)
    out.attrs["size_px"] = np.uint32(form.size_px)
    for i, name in enumerate("zxy"):
        out.create_dataset(name, data=np.array([tile[i] for tile in tiles], np.uint32))
    if form.codec == RAW:
        column = out.create_dataset("image", (len(tiles), *form.shape), np.uint8)
        for row, image in enumerate(images):
            column[row] = image
        return
    packed = list(pack_all(images, form.codec, threads))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in packed], dtype=np.uint64)]).astype(np.uint64)
    out.create_dataset("webp_offsets", data=offsets)
    out.create_dataset("webp", data=np.frombuffer(b"".join(packed), np.uint8))


def _keys(zxy: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Combines zoom, x and y of each tile into one integer, so that tiles can be sorted and compared: int64."""
    return zxy[..., 0] << 56 | zxy[..., 1] << 28 | zxy[..., 2]
