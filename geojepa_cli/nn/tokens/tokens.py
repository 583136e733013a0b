"""Tokens of a batch: packed, of one or several modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geojepa_cli.nn.packing import interleave


class TileTensors(Protocol):
    """Tensors that tokenizers read of a batch of tiles; `store.TileBatch` has them.

    Attributes:
        cu_seqlens: starts of the tiles' entities. [B+1]
        box: corners of each entity's box. float [T, 8]
        tag_ids: rows of the tag table, entity by entity. int64 [K]
        tag_offsets: starts of the entities' tags. int64 [T+1]
        images: uint8 [N, 3, 224, 224], or None.
        image_tiles: the tile of each image, ascending, int64 [N], or None.
    """

    cu_seqlens: Tensor
    box: Tensor
    tag_ids: Tensor
    tag_offsets: Tensor
    images: Tensor | None
    image_tiles: Tensor | None


@dataclass(frozen=True)
class TokenPart:
    """Packed tokens of one modality.

    Attributes:
        content: of each token, without position. [N, D]
        box: corners of each token's box. [N, 8]
        cu_seqlens: starts of the tiles. int64 [B+1]
        modality: number of the modality.
    """

    content: Tensor
    box: Tensor
    cu_seqlens: Tensor
    modality: int


@dataclass(frozen=True)
class Tokens:
    """Packed tokens of a batch.

    Attributes:
        content: of each token, without position. [T, D]
        box: corners of each token's box. [T, 8]
        modality: number of each token's modality. int64 [T]
        cu_seqlens: starts of the tiles. int64 [B+1]
        entity_index: the entities among the tokens, in the batch's order. int64 [entities]
    """

    content: Tensor
    box: Tensor
    modality: Tensor
    cu_seqlens: Tensor
    entity_index: Tensor


def join_parts(parts: Sequence[TokenPart]) -> Tokens:
    """Joins modalities tile by tile: the tokens of part 0, then those of part 1, and so on.

    Args:
        parts: of the same tiles; the entities first.
    """
    entities = parts[0]
    sizes = [len(part.content) for part in parts]
    device = entities.content.device
    modality = torch.cat([torch.full((n,), p.modality, device=device) for n, p in zip(sizes, parts, strict=True)])
    if len(parts) == 1:
        entity_index = torch.arange(sizes[0], device=device)
        return Tokens(entities.content, entities.box, modality, entities.cu_seqlens, entity_index)
    index, cu_seqlens = interleave(*(part.cu_seqlens for part in parts))
    return Tokens(
        content=torch.cat([part.content.to(entities.content.dtype) for part in parts]).index_select(0, index),
        box=torch.cat([part.box.to(entities.box.dtype) for part in parts]).index_select(0, index),
        modality=modality.index_select(0, index),
        cu_seqlens=cu_seqlens,
        entity_index=(index < sizes[0]).nonzero().flatten(),
    )
