"""Side, bands and packing of image tiles (docs/adr/0009)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError, UsageError

SIZE_PX = 224
SMALLEST_PX, LARGEST_PX = 16, 4096
BANDS = {"rgb": 3, "rgbn": 4}
RAW = "raw"
CODECS: dict[str, dict[str, Any]] = {  # what Pillow is told
    RAW: {},
    "webp-lossless": {"lossless": True, "quality": 50, "method": 2},
    "webp": {"quality": 90, "method": 4},
}
_BATCH = 64  # images packed before the first of them is written

Pixels = npt.NDArray[np.uint8]


class ImageForm(NamedTuple):
    """How image tiles look and how they are stored.

    Attributes:
        size_px: side of an image.
        bands: `rgb`, or `rgbn` with near infrared.
        codec: `raw`, `webp-lossless` or `webp`.
    """

    size_px: int = SIZE_PX
    bands: str = "rgb"
    codec: str = RAW

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: bands, rows, columns."""
        return BANDS[self.bands], self.size_px, self.size_px

    @property
    def params(self) -> dict[str, Any]:
        """What of it differs from the default, as parameters of an artifact."""
        names = {"size_px": "image_size", "bands": "bands", "codec": "image_codec"}
        default = ImageForm()
        return {names[key]: value for key, value in self._asdict().items() if value != getattr(default, key)}


def check_form(form: ImageForm) -> None:
    """UsageError where there are no such images."""
    if not SMALLEST_PX <= form.size_px <= LARGEST_PX:
        message = f"--image-size {form.size_px} is not from {SMALLEST_PX} to {LARGEST_PX}"
        raise UsageError(message, f"--image-size {SIZE_PX}")
    for option, value, known in (("--bands", form.bands, BANDS), ("--image-codec", form.codec, CODECS)):
        if value not in known:
            raise UsageError(f"{option} `{value}` is none of {', '.join(known)}", hint=f"{option} {next(iter(known))}")


def pack(image: Pixels, codec: str) -> bytes:
    """An image, uint8 [3 or 4, rows, columns], as WebP; near infrared takes the place of transparency, which WebP
    keeps without loss."""
    from PIL import Image

    file = io.BytesIO()
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(file, "WEBP", exact=True, **CODECS[codec])
    return file.getvalue()


def pack_all(images: Iterable[Pixels], codec: str, threads: int) -> Iterator[bytes]:
    """Images packed in their order, by threads."""
    rest = iter(images)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(rest, _BATCH)):
            yield from pool.map(lambda image: pack(image, codec), batch)


class PackedImages:
    """Images that are unpacked when they are read; looks like an array uint8 [n, bands, rows, columns].

    Attributes:
        shape: of the array.
        dtype: uint8.
    """

    def __init__(self, data: Pixels, offsets: npt.NDArray[np.uint64], shape: tuple[int, int, int], name: str) -> None:
        """Args:
        data: all packed images, one after the other.
        offsets: [n + 1] into them.
        shape: of an image.
        name: of the file, for messages.
        """
        self._data, self._offsets, self._name = data, offsets, name
        self.shape, self.dtype = (len(offsets) - 1, *shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> Pixels:
        """DataError where the image cannot be unpacked."""
        from PIL import Image

        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        packed = self._data[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()
        try:
            with Image.open(io.BytesIO(packed), formats=("WEBP",)) as image:
                pixels = np.asarray(image.convert("RGB" if self.shape[1] == 3 else "RGBA"), np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"image {row} of `{self._name}` cannot be unpacked: {error}", "geojepa tile") from error
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def take(
        self, rows: npt.NDArray[np.int64], axis: int = 0, out: Pixels | None = None, mode: str = "raise"
    ) -> Pixels:
        """As of an array, along its first axis: uint8 [rows, bands, rows, columns]."""
        taken = np.empty((len(rows), *self.shape[1:]), np.uint8) if out is None else out
        for place, row in enumerate(rows):
            taken[place] = self[int(row)]
        return taken
