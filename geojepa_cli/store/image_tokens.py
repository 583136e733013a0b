"""`image_tokens.h5`: writes and reads the tokens that a frozen image encoder computed for the images of a region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.config.images import FROZEN_ENCODERS, TokenForm
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.store.columns import map_columns
from geojepa_cli.store.float16 import Float16, check_finite, expected_column, write_column

EXPECTED = expected_column("token", axes=3)
CHECKED_ROWS = 128  # images that are checked at once


class ImageTokenKind(NamedTuple):
    """Frozen image encoder that computed tokens. Tokens of different kinds cannot be compared.

    Attributes:
        encoder: name of the encoder, such as `vit_b_16`.
        version: `sha256-` and the first digits of the checksum of the file with the weights, or `random`.
    """

    encoder: str
    version: str

    @property
    def form(self) -> TokenForm:
        """Number and width of the tokens of an image."""
        return FROZEN_ENCODERS[self.encoder]

    def __str__(self) -> str:
        return f"`{self.encoder}` {self.version}"


class ImageTokenStore:
    """The `image_tokens.h5` of a region. Its tokens are memory-mapped.

    Attributes:
        path: path of the file.
        token: tokens of each image, in the order of the region's `images.h5`. float16 [images, tokens, width]
        kind: encoder of the tokens.
    """

    def __init__(self, path: Path | str, n_images: int, region: str) -> None:
        """Opens a file and checks its tokens.

        Args:
            path: path of the file.
            n_images: number of images in the `images.h5` of the region.
            region: name of the region.

        Raises:
            DataError: the file is unreadable or damaged, has another schema, or does not have the tokens of `n_images`
                images.
        """
        self.path, self._region = Path(path), region
        columns, attributes = map_columns(self.path, EXPECTED, self._hint(None))
        self.token: Float16 = columns["token"]
        encoder, version = (str(attributes.get(name, "")) for name in ("encoder", "encoder_version"))
        if encoder not in FROZEN_ENCODERS:
            message = f"`{self.path}` was made by the unknown image encoder `{encoder}`"
            raise DataError(message, self._hint(None))
        self.kind = ImageTokenKind(encoder, version)
        form = self.kind.form
        if self.token.shape != (n_images, form.tokens, form.dim):
            expected = [n_images, form.tokens, form.dim]
            wanted = f"{expected} for the images of region `{region}`"
            message = f"column `token` of `{self.path}` has shape {list(self.token.shape)}, expected {wanted}"
            raise DataError(message, self._hint(encoder))
        check_finite(self.path, "token", self.token, CHECKED_ROWS)

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that receives the pickled store opens and maps the file again.
        return (ImageTokenStore, (self.path, len(self.token), self._region))

    def _hint(self, encoder: str | None) -> Hint:
        return hints.run("process", region=self._region, image_encoder=encoder or next(iter(FROZEN_ENCODERS)))


def open_image_tokens(
    paths: Sequence[Path | str | None], counts: Sequence[int | None], regions: Sequence[str]
) -> list[ImageTokenStore | None]:
    """Opens the `image_tokens.h5` of several regions.

    Args:
        paths: path of each file; None for a region without images.
        counts: number of images of each region; None for a region without images.
        regions: names of the regions.

    Raises:
        DataError: a file is unreadable or damaged, or does not have the tokens of all images.
    """
    found: list[ImageTokenStore | None] = []
    for path, count, region in zip(paths, counts, regions, strict=True):
        if (path is None) != (count is None):
            raise ValueError(f"region {region} has either images or image tokens, expected both or none")
        found.append(None if path is None or count is None else ImageTokenStore(path, count, region))
    return found


def check_same_tokens(stores: Iterable[ImageTokenStore | None]) -> None:
    """Checks that the tokens of all regions were computed by the same encoder. Regions without images are None.

    Raises:
        DataError: two regions have tokens of different encoders or weights.
    """
    found = [store for store in stores if store is not None]
    for other in found[1:]:
        if other.kind != found[0].kind:
            wanted = f"{found[0].kind} as for the other regions"
            message = f"`{other.path}` was made by the image encoder {other.kind}, expected {wanted}"
            raise DataError(message, other._hint(found[0].kind.encoder))


def write_image_tokens(path: Path, n_images: int, kind: ImageTokenKind, batches: Iterable[npt.NDArray[Any]]) -> None:
    """Writes `image_tokens.h5`. Only one batch of tokens is in memory at a time, see `write_column`.

    Args:
        path: file to write.
        n_images: number of images of the region.
        kind: encoder of the tokens.
        batches: tokens of consecutive images. Together, the batches have the tokens of all images. float [n, P, C]

    Raises:
        DataError: a token has a value that float16 cannot represent.
        ValueError: the batches have the tokens of another number of images.
    """
    message = f"the image encoder {kind} returned values that float16 cannot represent"
    overflow = DataError(message, hints.again(image_weights="FILE").noting("with other weights"))
    shape = (n_images, kind.form.tokens, kind.form.dim)
    write_column(path, "token", shape, (kind.encoder, kind.version), batches, overflow)
