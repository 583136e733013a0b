"""From the tensors of a batch of tiles to tokens: one per entity, and one per image patch (thesis 7.6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.packing import cu_from_lengths, interleave
from geojepa_cli.nn.tokens.image import PatchEmbed
from geojepa_cli.nn.tokens.position import IMAGE, TAGS, PositionEncoding


class TileTensors(Protocol):
    """What the tokenizer reads of a batch; `store.TileBatch` has it.

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
class Tokens:
    """Packed tokens of a batch.

    Attributes:
        content: what each token says, without position. [T, D]
        box: corners of each token's box. [T, 8]
        modality: TAGS or IMAGE. int64 [T]
        cu_seqlens: starts of the tiles. int64 [B+1]
        entity_index: where the entities, in the batch's order, lie among the tokens. int64 [entities]
    """

    content: Tensor
    box: Tensor
    modality: Tensor
    cu_seqlens: Tensor
    entity_index: Tensor


def mean_tags(tag_table: Tensor, tag_ids: Tensor, tag_offsets: Tensor) -> Tensor:
    """Mean of each entity's tag embeddings; zeros where it has none. [V, E], [K], [T+1] -> [T, E]."""
    return F.embedding_bag(tag_ids, tag_table, tag_offsets[:-1], mode="mean")


class Tokenizer(nn.Module):
    """Tag means and image patches, each projected to D and layer-normalised.

    Args:
        tag_dim: width of the tag table.
        embed_dim: width D.
        patch_px: side of an image patch; 0 for a model without images.
    """

    def __init__(self, tag_dim: int, embed_dim: int, patch_px: int = 0) -> None:
        super().__init__()
        self.tags = nn.Linear(tag_dim, embed_dim)
        self.tags_norm = nn.LayerNorm(embed_dim)
        self.image = PatchEmbed(embed_dim, patch_px) if patch_px else None
        self.image_norm = nn.LayerNorm(embed_dim) if patch_px else None

    def forward(self, batch: TileTensors, tag_table: Tensor) -> Tokens:
        """Tokens of the batch; `tag_table` is the frozen text embedding of every tag, [V, tag_dim]."""
        means = mean_tags(tag_table, batch.tag_ids, batch.tag_offsets)
        entities = self.tags_norm(self.tags(means))
        cu = batch.cu_seqlens.long()
        if self.image is None or self.image_norm is None or batch.images is None or batch.image_tiles is None:
            modality = torch.full((len(entities),), TAGS, device=entities.device)
            return Tokens(entities, batch.box, modality, cu, torch.arange(len(entities), device=cu.device))
        patches = self.image_norm(self.image(batch.images))
        per_tile = torch.zeros_like(cu[1:])
        per_tile[batch.image_tiles] = self.image.patches
        index, joined = interleave(cu, cu_from_lengths(per_tile))
        is_entity = index < len(entities)
        boxes = torch.cat([batch.box, self.image.boxes.to(batch.box.dtype).repeat(len(batch.images), 1)])
        return Tokens(
            content=torch.cat([entities, patches.to(entities.dtype)]).index_select(0, index),
            box=boxes.index_select(0, index),
            modality=torch.where(is_entity, TAGS, IMAGE),
            cu_seqlens=joined,
            entity_index=is_entity.nonzero().flatten(),
        )


class TileTokenizer(nn.Module):
    """Tokenizer and positional encoding: tokens as the encoder reads them."""

    def __init__(self, tokenizer: Tokenizer, position: PositionEncoding) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.position = position

    def forward(self, batch: TileTensors, tag_table: Tensor) -> tuple[Tensor, Tokens]:
        """Content plus position [T, D], and the tokens they come from."""
        tokens = self.tokenizer(batch, tag_table)
        return tokens.content + self.position(tokens.box, tokens.modality), tokens
