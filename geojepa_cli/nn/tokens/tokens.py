"""Data classes of the tokenizer: its input, the tokens of one modality, and the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geojepa_cli.nn.packing import interleave


class TileTensors(Protocol):
    """Input of the tokenizer: the tensors that it reads from a batch of tiles. `TileBatch` implements this protocol.

    Attributes:
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        box: bounding box corners of each entity, in tile units. float [T, 8]
        tag_ids: tags of all entities, entity by entity, as row indices of the table of tag embeddings. int64 [K]
        tag_offsets: the tags of entity i are `tag_ids[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
        geometry: geometry vector of each entity. None for a batch without geometry. float16 [T, G]
        images: images of those tiles that have one. None for a batch without pixels. uint8 [N, 3, 224, 224]
        image_tokens: tokens that a frozen image encoder computed from these images. None for a batch without them.
            float16 [N, P, C]
        image_tiles: for each image, the index of its tile in the batch, in ascending order. None for a batch without
            images. int64 [N]
    """

    cu_seqlens: Tensor
    box: Tensor
    tag_ids: Tensor
    tag_offsets: Tensor
    geometry: Tensor | None
    images: Tensor | None
    image_tokens: Tensor | None
    image_tiles: Tensor | None


@dataclass(frozen=True)
class TokenPart:
    """Positions of the packed tokens of one modality.

    Attributes:
        box: bounding box corners of each token, in tile units. [N, 8]
        cu_seqlens: cumulative token counts of the tiles. int64 [B+1]
        modality: modality id of all these tokens.
    """

    box: Tensor
    cu_seqlens: Tensor
    modality: int


@dataclass(frozen=True)
class TokenPlaces:
    """Position and modality of the packed tokens of a batch. They do not depend on the weights of a model.

    Attributes:
        box: bounding box corners of each token, in tile units. [T, 8]
        modality: modality id of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. int64 [B+1]
        entity_index: indices of the tokens that are entities, in the order of the batch's entities. int64 [entities]
        order: for each token, its index if all entity tokens came first, then all image tokens. None if the batch has
            only entity tokens. int64 [T]
    """

    box: Tensor
    modality: Tensor
    cu_seqlens: Tensor
    entity_index: Tensor
    order: Tensor | None


def join_parts(parts: Sequence[TokenPart]) -> TokenPlaces:
    """Joins the tokens of several modalities. In the result, all tokens of a tile are adjacent.

    Args:
        parts: tokens of each modality. All parts must belong to the same tiles. The first part must contain the entity
            tokens.
    """
    entities = parts[0]
    sizes = [len(part.box) for part in parts]
    device = entities.box.device
    modality = torch.cat([torch.full((n,), p.modality, device=device) for n, p in zip(sizes, parts, strict=True)])
    if len(parts) == 1:
        entity_index = torch.arange(sizes[0], device=device)
        return TokenPlaces(entities.box, modality, entities.cu_seqlens, entity_index, None)
    index, cu_seqlens = interleave(*(part.cu_seqlens for part in parts))
    return TokenPlaces(
        box=torch.cat([part.box.to(entities.box.dtype) for part in parts]).index_select(0, index),
        modality=modality.index_select(0, index),
        cu_seqlens=cu_seqlens,
        entity_index=(index < sizes[0]).nonzero().flatten(),
        order=index,
    )
