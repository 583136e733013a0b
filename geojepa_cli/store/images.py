"""`images.h5`: image tiles as one uncompressed array, or packed, joined to map tiles by name when they are read."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, map_columns
from geojepa_cli.store.image_form import BANDS, RAW, SIZE_PX, ImageForm, PackedImages, pack_all

_FILE_NAME = re.compile(r"(\d+_\d+_\d+)\.(?:webp|png|jpe?g)", re.IGNORECASE)
_FORMATS = ("WEBP", "PNG", "JPEG")  # by content; Pillow would open many more, some by way of other programs
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # what Pillow's decoders raise
_HINT = "geojepa fetch --pbf FILE --name NAME --imagery DIR"
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
_FORM_HINT = f"geojepa tile --image-size {SIZE_PX} --bands rgb"


class ImageStore:
    """Images of one region, memory-mapped; packed ones are unpacked when they are read.

    Attributes:
        image: uint8 [n, 3, 224, 224], RGB; of another form where that was asked for.
        zxy: int64 [n, 3], zoom, column and row of each image's tile.
    """

    def __init__(self, path: Path | str, any_form: bool = False) -> None:
        """Opens an `images.h5`.

        Args:
            path: of it.
            any_form: take images of any side and bands; models take 224 × 224 px RGB only.

        Raises:
            DataError: unreadable, of another schema, without the expected columns, or of another form.
        """
        self.path, self._any_form = Path(path), any_form
        columns, attributes = map_columns(self.path, EXPECTED, hints.advice(_HINT))
        packed = "webp" in columns
        for name in ("webp", "webp_offsets") if packed else ("image",):
            if name not in columns:
                raise DataError(f"`{self.path}` has no column `{name}`", _HINT)
        if len({len(columns[name]) for name in "zxy"}) > 1:
            raise DataError(f"`z`, `x` and `y` of `{self.path}` differ in length", _HINT)
        self.zxy = np.stack([columns[name] for name in "zxy"], 1).astype(np.int64)
        if packed:
            side = int(str(attributes.get("size_px", 0)))
            shape = (BANDS.get(str(attributes.get("bands")), 0), side, side)
            offsets = columns["webp_offsets"]
            if len(offsets) == 0 or int(offsets[-1]) > len(columns["webp"]) or (offsets[1:] < offsets[:-1]).any():
                raise DataError(f"`{self.path}` is damaged: `webp_offsets` leave `webp` or do not rise", VERIFY)
            self.image: Any = PackedImages(columns["webp"], offsets, shape, str(self.path))
        else:
            self.image = columns["image"]
        self._check()

    def _check(self) -> None:
        shape, expected = self.image.shape, (len(self.zxy), 3, SIZE_PX, SIZE_PX)
        if self._any_form and len(shape) == 4:
            expected = (len(self.zxy), *shape[1:])
        if shape != expected or self.image.dtype != np.uint8:
            got = f"`image` of `{self.path}` is {self.image.dtype} {list(shape)}, expected uint8 {list(expected)}"
            raise DataError(f"{got}: models read images of {SIZE_PX} × {SIZE_PX} px, red, green and blue", _FORM_HINT)

    def __len__(self) -> int:
        return len(self.zxy)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageStore, (self.path, self._any_form))

    def rows_of(self, z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The image row of each tile, -1 where it has none: int64 [tiles]."""
        wanted = _keys(np.stack([np.asarray(a, np.int64) for a in (z, x, y)], -1))
        have = _keys(self.zxy)
        if len(have) == 0:
            return np.full(wanted.shape, -1, np.int64)
        order = np.argsort(have, kind="stable")
        place = np.minimum(np.searchsorted(have[order], wanted), len(have) - 1)
        rows = order[place]
        return np.where(have[rows] == wanted, rows, -1).astype(np.int64)


def find_images(folder: Path) -> list[tuple[TileId, Path]]:
    """The image tiles of a folder, `zoom_x_y.webp` (or png, jpg), sorted as map tiles are.

    Raises:
        DataError: two files show the same tile, or a name is that of no tile.
    """
    found: dict[TileId, Path] = {}
    for path in sorted(folder.iterdir()):
        try:
            tile = parse_image_name(path.name)
        except UsageError as error:
            raise DataError(f"`{path}`: {error.message}", error.hint) from None
        if tile is None:
            continue
        if tile in found:
            raise DataError(f"`{found[tile]}` and `{path}` are both images of tile `{tile.name}`", "remove one of them")
        found[tile] = path
    return sorted(found.items(), key=lambda item: _order(item[0]))


def parse_image_name(name: str) -> TileId | None:
    """The tile of a file name such as `16_18052_25957.webp`; None for other names.

    Raises:
        UsageError: the name has that form, but lies outside the grid of its zoom.
    """
    match = _FILE_NAME.fullmatch(name)
    return parse_tile(match[1]) if match else None


def write_images(
    folder: Path,
    path: Path,
    zoom: int | None = None,
    resize: bool = False,
    progress: Callable[[int, int], None] | None = None,
    codec: str = RAW,
    threads: int = 1,
) -> int:
    """Decodes the image tiles of a folder into `images.h5`, and returns how many there are.

    Args:
        folder: holds `zoom_x_y.(webp|png|jpg)` of 224 × 224 px; other files are passed over.
        path: the file to write.
        zoom: take tiles of this zoom only.
        resize: bring square images of other sizes to 224 px (Lanczos); otherwise another size is an error.
        progress: called with (done, total) after each image.
        codec: of `ImageForm`.
        threads: that pack.

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
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as out:
        put_images(out, [tile for tile, _ in images], ImageForm(codec=codec), read(), threads)
    return len(images)


def put_images(
    out: h5py.File,
    tiles: Sequence[TileId],
    form: ImageForm,
    images: Iterable[npt.NDArray[np.uint8]],
    threads: int = 1,
) -> None:
    """Writes the attributes, tile columns and images of an `images.h5`.

    Args:
        out: the open file.
        tiles, images: one for each other, in the order of the file.
        form: of the images.
        threads: that pack.
    """
    out.attrs["schema_version"] = np.uint32(schema.VERSION)
    out.attrs["kind"] = "images"
    out.attrs["bands"], out.attrs["size_px"] = form.bands, np.uint32(form.size_px)
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


def read_image(path: Path, resize: bool = False) -> npt.NDArray[np.uint8]:
    """One image as uint8 [3, 224, 224], RGB.

    Raises:
        DataError: it cannot be decoded, has another size or more than 8 bits, or is a decompression bomb.
    """
    from PIL import Image

    hint = f"remove `{path}`, or put a whole image of {SIZE_PX} × {SIZE_PX} px there"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_form(image.size, image.mode, path, resize, hint)
                pixels = image.convert("RGB")
    except _UNREADABLE as error:
        raise DataError(f"`{path}` cannot be decoded: {_told(error)}", hint) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"`{path}` is refused: {error}", hint) from error
    if pixels.size != (SIZE_PX, SIZE_PX):
        pixels = pixels.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(pixels, np.uint8).transpose(2, 0, 1))


def is_transparent(path: Path) -> bool:
    """Whether a pixel of an image that can be read is not opaque."""
    from PIL import Image

    with Image.open(path, formats=_FORMATS) as image:
        if not image.has_transparency_data:
            return False
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return lowest != 255


def _check_form(size: tuple[int, int], mode: str, path: Path, resize: bool, hint: str) -> None:
    """Told by the header, before anything is decoded."""
    width, height = size
    if size != (SIZE_PX, SIZE_PX) and not (resize and width == height):
        raise DataError(f"`{path}` is {width} × {height} px, expected {SIZE_PX} × {SIZE_PX}", hint)
    if mode.startswith(("I", "F")):
        raise DataError(f"`{path}` has more than 8 bits in a channel", hint)


def _told(error: Exception) -> str:
    """Pillow's words, without the path that it repeats."""
    return "it is no WebP, PNG or JPEG image" if "cannot identify" in str(error) else str(error)


def _keys(zxy: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number for each tile, zoom included."""
    return zxy[..., 0] << 56 | zxy[..., 1] << 28 | zxy[..., 2]


def _order(tile: TileId) -> tuple[int, int, int, int, int]:
    shift = max(0, tile.z - GROUP_ZOOM)
    return tile.z, tile.y >> shift, tile.x >> shift, tile.y, tile.x
