"""Random signs that come from a hash (feature hashing, Weinberger et al. 2009).

They are the same on every computer, and no weights are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hashed_signs(texts: Sequence[str], width: int) -> NDArray[np.float32]:
    """Returns signs, −1 or 1, for each text: the bits of its SHAKE-256, the highest bit of each byte first.

    Args:
        texts: the n texts.
        width: number of signs S of each.

    Returns:
        Signs. float32 [n, S]
    """
    digests = b"".join(hashlib.shake_256(text.encode()).digest(-(-width // 8)) for text in texts)
    bits = np.unpackbits(np.frombuffer(digests, np.uint8)).reshape(len(texts), -1)[:, :width]
    return bits * np.float32(2) - 1
