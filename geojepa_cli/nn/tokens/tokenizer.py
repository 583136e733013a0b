"""Tokenizer: computes one token for each entity and each image patch (GeoJEPA thesis, section 7.6.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geojepa_cli.nn.packing import cu_from_lengths
from geojepa_cli.nn.tokens.image import PatchEmbed
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.nn.tokens.tokens import TileTensors, TokenPart, TokenPlaces, join_parts


class TokenNumbers(NamedTuple):
    """Modality ids that the tokenizer assigns to tokens.

    Attributes:
        entity: modality id of entity tokens.
        image: modality id of image patch tokens.
    """

    entity: int
    image: int


class Tokenizer(nn.Module):
    """Computes the tokens of entities and image patches.

    The input of an entity token is the mean embedding of its tags. The input of a patch token is the patch's pixels.
    Each input is projected linearly to width D and layer-normalised. To add a modality, add a projection, one more
    `TokenPart` in `place`, and its vectors in `forward`.

    Args:
        tag_dim: width of the tag embeddings.
        embed_dim: width D of the tokens.
        numbers: modality ids of entity tokens and patch tokens.
        patch_px: side length of an image patch in pixels. 0: the tokenizer ignores images.
    """

    def __init__(self, tag_dim: int, embed_dim: int, numbers: TokenNumbers, patch_px: int = 0) -> None:
        super().__init__()
        self.numbers = numbers
        self.tags = nn.Linear(tag_dim, embed_dim)
        self.tags_norm = nn.LayerNorm(embed_dim)
        self.image = PatchEmbed(embed_dim, patch_px) if patch_px else None
        self.image_norm = nn.LayerNorm(embed_dim) if patch_px else None

    def place(self, batch: TileTensors) -> TokenPlaces:
        """Returns position and modality of the tokens of a batch of tiles.

        Args:
            batch: tiles, with or without images.
        """
        parts = [TokenPart(batch.box, batch.cu_seqlens.long(), self.numbers.entity)]
        if self.image is not None and batch.images is not None and batch.image_tiles is not None:
            per_tile = torch.zeros_like(batch.cu_seqlens[1:], dtype=torch.int64)
            per_tile[batch.image_tiles] = self.image.patches
            boxes = self.image.boxes.repeat(len(batch.images), 1)
            parts.append(TokenPart(boxes, cu_from_lengths(per_tile), self.numbers.image))
        return join_parts(parts)

    def forward(self, batch: TileTensors, tag_table: Tensor, places: TokenPlaces) -> Tensor:
        """Computes the vectors of the tokens of a batch of tiles, without positional encoding.

        Args:
            batch: tiles, with or without images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            places: result of `place` for the batch.
        Returns:
            Token vectors. [T, D]
        """
        content = self.tags_norm(self.tags(mean_tags(tag_table, batch.tag_ids, batch.tag_offsets)))
        if places.order is None or self.image is None or self.image_norm is None or batch.images is None:
            return content
        patches = self.image_norm(self.image(batch.images))
        return torch.cat([content, patches.to(content.dtype)]).index_select(0, places.order)


class TileTokenizer(nn.Module):
    """Computes the input of an encoder: the sum of token content and positional encoding."""

    def __init__(self, tokenizer: Tokenizer, position: PositionEncoding) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.position = position

    def forward(self, batch: TileTensors, tag_table: Tensor, places: TokenPlaces) -> Tensor:
        """Computes the encoder input of a batch of tiles.

        Args:
            batch: tiles, with or without images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            places: position and modality of the tokens, see `Tokenizer.place`.
        Returns:
            Sum of content and positional encoding of each token. [T, D]
        """
        return self.tokenizer(batch, tag_table, places) + self.position(places.box, places.modality)
