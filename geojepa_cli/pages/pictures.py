"""Encodes pictures of tiles as WebP, also as data URIs, so that they can be part of an HTML file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray


def data_uri(image: NDArray[np.uint8], most_px: int, quality: int = 88) -> str:
    """Encodes the image of a tile as a data URI. The arguments are those of `webp`."""
    return "data:image/webp;base64," + base64.b64encode(webp(image, most_px, quality)).decode("ascii")


def webp(image: NDArray[np.uint8], most_px: int, quality: int = 88) -> bytes:
    """Encodes the image of a tile as WebP.

    The image is scaled down to a width and height of at most `most_px` pixels, and compressed with loss. Lossless
    images would be several times larger.

    Args:
        image: red, green and blue bands; further bands are ignored. uint8 [3 or more, side, side]
        most_px: maximum width and height.
        quality: quality of the compression, 0 to 100.
    """
    from PIL import Image

    buffer = io.BytesIO()
    shown = Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(image)[:3], 0, -1)))
    shown.thumbnail((most_px, most_px))
    shown.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
