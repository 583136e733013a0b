"""Tokenizer: computes one token for each entity and each image patch (GeoJEPA thesis, section 7.6.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geojepa_cli.nn.packing import cu_from_lengths
from geojepa_cli.nn.tokens.fusion import EntityFusion, draw_dropout
from geojepa_cli.nn.tokens.image import PatchEmbed
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tags import WeightedTags, mean_tags
from geojepa_cli.nn.tokens.tokens import TileTensors, TokenPart, Tokens, join_parts


class TokenNumbers(NamedTuple):
    """Modality ids that the tokenizer assigns to tokens.

    Attributes:
        entity: modality id of entity tokens.
        image: modality id of image patch tokens.
    """

    entity: int
    image: int


class TokenizerSizes(NamedTuple):
    """Sizes and switches of the tokenizer.

    Attributes:
        tag_dim: width E of the tag embeddings.
        embed_dim: width D of the tokens.
        geometry_dim: width G of the geometry vectors. 0: the tokenizer ignores geometry.
        patch_px: side length of an image patch in pixels. 0: the tokenizer ignores images.
        weight_tags: learn the weights of an entity's tags. False: all tags of an entity have the same weight.
        modality_dropout: fraction of the entities that lose their tags or their geometry in training.
    """

    tag_dim: int
    embed_dim: int
    geometry_dim: int = 0
    patch_px: int = 0
    weight_tags: bool = False
    modality_dropout: float = 0.0


class Tokenizer(nn.Module):
    """Computes the tokens of entities and image patches.

    The input of an entity token is the mean embedding of its tags and, if the tokenizer reads geometry, the vector of
    its geometry. The input of a patch token is the patch's pixels. Each input is projected linearly to width D and
    layer-normalised. Tags and geometry are then fused by an MLP. To add a modality with own tokens, add a projection
    and one more `TokenPart` in `forward`.

    Args:
        sizes: sizes and switches.
        numbers: modality ids of entity tokens and patch tokens.
    """

    def __init__(self, sizes: TokenizerSizes, numbers: TokenNumbers) -> None:
        super().__init__()
        self.numbers = numbers
        self.dropout = sizes.modality_dropout
        self.weights = WeightedTags(sizes.tag_dim) if sizes.weight_tags else None
        self.tags = nn.Linear(sizes.tag_dim, sizes.embed_dim)
        self.tags_norm = nn.LayerNorm(sizes.embed_dim)
        self.fusion = EntityFusion(sizes.geometry_dim, sizes.embed_dim) if sizes.geometry_dim else None
        self.image = PatchEmbed(sizes.embed_dim, sizes.patch_px) if sizes.patch_px else None
        self.image_norm = nn.LayerNorm(sizes.embed_dim) if sizes.patch_px else None

    def forward(self, batch: TileTensors, tag_table: Tensor, rng: torch.Generator | None = None) -> Tokens:
        """Computes the tokens of a batch of tiles.

        Args:
            batch: tiles, with or without geometry and images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            rng: random generator of the modality dropout, on the CPU. None: no dropout.
        """
        parts = (self._entities(batch, tag_table, rng), self._patches(batch))
        return join_parts([part for part in parts if part is not None])

    def _entities(self, batch: TileTensors, tag_table: Tensor, rng: torch.Generator | None) -> TokenPart:
        pool = mean_tags if self.weights is None else self.weights
        tags = self.tags_norm(self.tags(pool(tag_table, batch.tag_ids, batch.tag_offsets)))
        cu_seqlens = batch.cu_seqlens.long()
        if self.fusion is None:
            return TokenPart(tags, batch.box, cu_seqlens, self.numbers.entity)
        dropped = None
        if rng is not None and self.dropout > 0:
            dropped = draw_dropout(len(tags), self.dropout, rng).to(tags.device, non_blocking=True)
        content = self.fusion(tags, batch.tag_offsets.diff() > 0, batch.geometry, dropped)
        return TokenPart(content, batch.box, cu_seqlens, self.numbers.entity, kind=tags)

    def _patches(self, batch: TileTensors) -> TokenPart | None:
        if self.image is None or self.image_norm is None or batch.images is None or batch.image_tiles is None:
            return None
        content = self.image_norm(self.image(batch.images))
        per_tile = torch.zeros_like(batch.cu_seqlens[1:], dtype=torch.int64)
        per_tile[batch.image_tiles] = self.image.patches
        boxes = self.image.boxes.repeat(len(batch.images), 1)
        return TokenPart(content, boxes, cu_from_lengths(per_tile), self.numbers.image)


class TileTokenizer(nn.Module):
    """Computes the input of an encoder: the sum of token content and positional encoding."""

    def __init__(self, tokenizer: Tokenizer, position: PositionEncoding) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.position = position

    def forward(
        self, batch: TileTensors, tag_table: Tensor, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Tokens]:
        """Computes the encoder input of a batch of tiles.

        Args:
            batch: tiles, with or without geometry and images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            rng: random generator of the modality dropout, on the CPU. None: no dropout.
        Returns:
            Two values: the sum of content and positional encoding of each token [T, D], and a `Tokens` object. Its
            content does not include the positional encoding.
        """
        tokens = self.tokenizer(batch, tag_table, rng)
        return tokens.content + self.position(tokens.box, tokens.modality), tokens
