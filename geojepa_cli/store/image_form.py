"""`ImageForm`: size, bands and codec of image tiles, and the WebP codec (docs/adr/0009)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.store.columns import VERIFY

SIZE_PX = 224
MIN_PX, MAX_PX = 16, 4096
BANDS = {"rgb": 3, "rgbn": 4}
RAW = "raw"
CODECS: dict[str, dict[str, Any]] = {  # options of Pillow
    RAW: {},
    "webp-lossless": {"lossless": True, "quality": 50, "method": 2},
    "webp": {"quality": 90, "method": 4},
}
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError)
_BATCH = 64  # number of images that are encoded at a time

Pixels = npt.NDArray[np.uint8]


class ImageForm(NamedTuple):
    """Size, bands and codec of image tiles (one image per map tile).

    Attributes:
        size_px: side length of an image in pixels.
        bands: `rgb`, or `rgbn` for RGB and near infrared.
        codec: encoding of the pixels in the file: `raw` (uncompressed), `webp-lossless` or `webp`.
    """

    size_px: int = SIZE_PX
    bands: str = "rgb"
    codec: str = RAW

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image: (bands, rows, columns)."""
        return BANDS[self.bands], self.size_px, self.size_px

    @property
    def params(self) -> dict[str, Any]:
        """Dict of the settings (size, bands, codec) that differ from their defaults.

        These settings become parameters of the artifact that contains the images.
        """
        names = {"size_px": "image_size", "bands": "bands", "codec": "image_codec"}
        default = ImageForm()
        return {names[key]: value for key, value in self._asdict().items() if value != getattr(default, key)}


def check_form(form: ImageForm) -> None:
    """Checks the size, the bands and the codec of image tiles.

    Raises:
        UsageError: the size is out of range, or the bands or codec are unknown.
    """
    if not MIN_PX <= form.size_px <= MAX_PX:
        message = f"--image-size {form.size_px} is not from {MIN_PX} to {MAX_PX}"
        raise UsageError(message, hints.again(image_size=SIZE_PX))
    for option, value, known in (("--bands", form.bands, BANDS), ("--image-codec", form.codec, CODECS)):
        if value not in known:
            hint = hints.again(**{option.removeprefix("--"): next(iter(known))})
            raise UsageError(f"{option} `{value}` is unknown, expected one of {', '.join(known)}", hint)


def pack(image: Pixels, codec: str) -> bytes:
    """Encodes an image, uint8 [3 or 4, rows, columns], as WebP.

    The fourth band (near infrared) is stored as alpha channel, which WebP compresses without loss.
    """
    from PIL import Image

    file = io.BytesIO()
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(file, "WEBP", exact=True, **CODECS[codec])
    return file.getvalue()


def pack_all(images: Iterable[Pixels], codec: str, threads: int) -> Iterator[bytes]:
    """Encodes images as WebP on several threads, and yields the encoded images in the order of `images`."""
    rest = iter(images)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(rest, _BATCH)):
            yield from pool.map(lambda image: pack(image, codec), batch)


class PackedImages:
    """WebP images that behave like an array uint8 [n, bands, rows, columns]. An image is decoded when it is read.

    Attributes:
        shape: shape of the array, (n, bands, rows, columns).
        dtype: data type of the array, uint8.
    """

    def __init__(self, data: Pixels, offsets: npt.NDArray[np.uint64], shape: tuple[int, int, int], name: str) -> None:
        """Makes an array of WebP images.

        Args:
            data: bytes of all WebP images, one after the other.
            offsets: position in `data` of the first byte of each image, and the end of the last image: uint64 [n + 1].
            shape: shape of an image: (bands, rows, columns).
            name: name of the file, for messages.
        """
        self._data, self._offsets, self._name = data, offsets, name
        self.shape, self.dtype = (len(offsets) - 1, *shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> Pixels:
        """Returns the image with the number `row`, decoded: uint8 [bands, rows, columns].

        Raises:
            DataError: the image cannot be decoded or has another size.
        """
        from PIL import Image

        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        packed = self._data[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()
        height, width = self.shape[2:]
        try:
            with Image.open(io.BytesIO(packed), formats=("WEBP",)) as image:
                if image.size != (width, height):  # checked before decoding, which allocates memory
                    raise ValueError(f"the image is {image.width} × {image.height} px, expected {width} × {height}")
                pixels = np.asarray(image.convert("RGB" if self.shape[1] == 3 else "RGBA"), np.uint8)
        except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
            raise DataError(f"image {row} of `{self._name}` cannot be decoded: {error}", VERIFY) from error
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def take(
        self, rows: npt.NDArray[np.int64], axis: int = 0, out: Pixels | None = None, mode: str = "raise"
    ) -> Pixels:
        """Decodes the images with the numbers `rows`: uint8 [n, bands, rows, columns].

        The signature is that of `numpy.ndarray.take`, so that arrays and WebP images are read by the same code.
        """
        taken = np.empty((len(rows), *self.shape[1:]), np.uint8) if out is None else out
        for position, row in enumerate(rows):
            taken[position] = self[int(row)]
        return taken
