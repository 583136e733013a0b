"""Packed tokens of a batch, with one or several modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geojepa_cli.nn.packing import interleave


class TileTensors(Protocol):
    """Tensors that a tokenizer reads from a batch of tiles. `store.TileBatch` implements this protocol.

    Attributes:
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        box: bounding box corners of each entity, in tile units. float [T, 8]
        tag_ids: row indices of the tag table, entity by entity. int64 [K]
        tag_offsets: start of each entity's tags in `tag_ids`, then their total count. int64 [T+1]
        images: images of the tiles that have one, or None. uint8 [N, 3, 224, 224]
        image_tiles: tile index of each image, ascending, or None. int64 [N]
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
        content: vector of each token, without positional encoding. [N, D]
        box: bounding box corners of each token, in tile units. [N, 8]
        cu_seqlens: cumulative token counts of the tiles. int64 [B+1]
        modality: modality id.
    """

    content: Tensor
    box: Tensor
    cu_seqlens: Tensor
    modality: int


@dataclass(frozen=True)
class Tokens:
    """Packed tokens of a batch.

    Attributes:
        content: vector of each token, without positional encoding. [T, D]
        box: bounding box corners of each token, in tile units. [T, 8]
        modality: modality id of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. int64 [B+1]
        entity_index: indices of the entity tokens, in the batch's order. int64 [entities]
    """

    content: Tensor
    box: Tensor
    modality: Tensor
    cu_seqlens: Tensor
    entity_index: Tensor


def join_parts(parts: Sequence[TokenPart]) -> Tokens:
    """Joins the tokens of several modalities, so that all tokens of a tile are adjacent.

    Args:
        parts: tokens of each modality for the same tiles. The first part has the entities.
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
