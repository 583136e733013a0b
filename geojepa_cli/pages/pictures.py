"""Pictures of tiles as data URIs, so that they can be part of an HTML file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray


def data_uri(image: NDArray[np.uint8], most_px: int, quality: int = 88) -> str:
    """Encodes the image of a tile as a data URI.

    The image is scaled down to a width and height of at most `most_px` pixels, and compressed as lossy WebP. Lossless
    images would make the HTML file several times larger.

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
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
