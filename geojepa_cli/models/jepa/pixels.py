"""Image tokens of the context encoder. Masked image patches are blanked out before the tokens are computed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geojepa_cli.models.image_encoders import FrozenImageEncoder
from geojepa_cli.models.jepa.jepa import JepaInput
from geojepa_cli.store.batch import TileBatch


def with_visible_pixels(
    prepared: JepaInput, batch: TileBatch, encoder: FrozenImageEncoder, bfloat16: bool = False
) -> JepaInput:
    """Replaces the image tokens that the context encoder reads. The target encoder still reads those of whole images.

    A frozen image encoder spreads information over all tokens of an image. So the tokens of visible cells are computed
    again, from an image in which the pixels of all other cells are blank.

    Args:
        prepared: batch with its masks.
        batch: the same batch, with pixels.
        encoder: encoder of the image tokens in the batch.
        bfloat16: compute matrix products in bfloat16.
    """
    if batch.images is None or batch.image_tokens is None or not len(batch.images):
        return prepared
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=bfloat16):
        hidden = hidden_cells(prepared, len(batch.images), encoder.kind.form.whole)
        assert batch.image_tiles is not None
        tokens = encoder(batch.images, hidden, encoder.resolution(batch.tile_zxy[batch.image_tiles]))
    return replace(prepared, seen=replace(batch, image_tokens=tokens.to(batch.image_tokens.dtype)))


def hidden_cells(prepared: JepaInput, images: int, whole: bool) -> Tensor:
    """Returns True for each cell of each image whose token the context encoder does not read. bool [images, cells]

    Args:
        prepared: batch with its masks.
        images: number of images in the batch.
        whole: True if a token of the whole image comes before the tokens of the cells.
    """
    places = prepared.places
    assert places.order is not None
    hidden = torch.ones(len(places.order), dtype=torch.bool, device=places.order.device)
    hidden = hidden.index_fill(0, prepared.masks.context_index, False)
    by_part = torch.empty_like(hidden).index_copy_(0, places.order, hidden)  # entities first, then images
    cells = by_part[len(places.entity_index) :].view(images, -1)
    return cells[:, 1:] if whole else cells
