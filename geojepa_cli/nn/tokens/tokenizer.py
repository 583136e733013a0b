"""Tokenizer: computes one token for each entity and each image patch (GeoJEPA thesis, section 7.6.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geojepa_cli.nn.packing import cu_from_lengths
from geojepa_cli.nn.tokens.fusion import EntityFusion, draw_dropout
from geojepa_cli.nn.tokens.image import FrozenEmbed, FrozenForm, PatchEmbed
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tags import WeightedTags, mean_tags
from geojepa_cli.nn.tokens.tokens import TileTensors, TokenPart, TokenPlaces, join_parts


class TokenNumbers(NamedTuple):
    """Modality ids that the tokenizer assigns to tokens.

    Attributes:
        entity: modality id of entity tokens.
        image: modality id of image patch tokens.
    """

    entity: int
    image: int


class TokenizerSizes(NamedTuple):
    """Sizes and options of the tokenizer.

    Attributes:
        tag_dim: width E of the tag embeddings.
        embed_dim: width D of the tokens.
        geometry_dim: width G of the geometry vectors. 0: the tokenizer ignores geometry.
        residual_fusion: True: the token of an entity is the sum of the vector of its tags and the result of an MLP that
            reads tags and geometry. False: it is the result of the MLP.
        patch_px: side length of an image patch in pixels. 0: the tokenizer ignores images.
        weight_tags: learn the weights of an entity's tags. False: all tags of an entity have the same weight.
        modality_dropout: fraction of the entities that lose their tags or their geometry in training.
        frozen: width and number of the tokens of a frozen image encoder, if the tokenizer reads such tokens. None: the
            tokenizer divides images into patches.
    """

    tag_dim: int
    embed_dim: int
    geometry_dim: int = 0
    residual_fusion: bool = False
    patch_px: int = 0
    weight_tags: bool = False
    modality_dropout: float = 0.0
    frozen: FrozenForm | None = None


class Tokenizer(nn.Module):
    """Computes the tokens of entities and image patches.

    The input of an entity token is the mean embedding of its tags and, if the tokenizer reads geometry, the vector of
    its geometry. The input of a patch token is the patch's pixels or a token of a frozen image encoder. Each input is
    projected linearly to width D and layer-normalised. Tags and geometry are then fused by an MLP.

    `tag_weights` has the weight of every distinct tag of the dataset in the mean, [V]. None: equal weights.

    To add a modality that has tokens, add a linear projection here, a `TokenPart` in `place`, and vectors in `forward`.

    Args:
        sizes: sizes and options.
        numbers: modality ids of entity tokens and patch tokens.
    """

    tag_weights: Tensor | None

    def __init__(self, sizes: TokenizerSizes, numbers: TokenNumbers) -> None:
        super().__init__()
        self.register_buffer("tag_weights", None, persistent=False)  # they belong to a dataset, see `weigh_tags`
        self.numbers = numbers
        self.dropout = sizes.modality_dropout
        self.weights = WeightedTags(sizes.tag_dim) if sizes.weight_tags else None
        self.tags = nn.Linear(sizes.tag_dim, sizes.embed_dim)
        self.tags_norm = nn.LayerNorm(sizes.embed_dim)
        self.fusion = None
        if sizes.geometry_dim:
            self.fusion = EntityFusion(sizes.geometry_dim, sizes.embed_dim, sizes.residual_fusion)
        self.image: PatchEmbed | FrozenEmbed | None = None
        if sizes.frozen is not None:
            self.image = FrozenEmbed(sizes.embed_dim, sizes.frozen)
        elif sizes.patch_px:
            self.image = PatchEmbed(sizes.embed_dim, sizes.patch_px)
        self.image_norm = nn.LayerNorm(sizes.embed_dim) if self.image is not None else None

    def place(self, batch: TileTensors) -> TokenPlaces:
        """Returns position and modality of the tokens of a batch of tiles.

        Args:
            batch: tiles, with or without images.
        """
        parts = [TokenPart(batch.box, batch.cu_seqlens.long(), self.numbers.entity)]
        images = None if self.image is None else self.image.select(batch)
        if self.image is not None and images is not None and batch.image_tiles is not None:
            per_tile = torch.zeros_like(batch.cu_seqlens[1:], dtype=torch.int64)
            per_tile[batch.image_tiles] = self.image.patches
            boxes = self.image.boxes.repeat(len(images), 1)
            parts.append(TokenPart(boxes, cu_from_lengths(per_tile), self.numbers.image))
        return join_parts(parts)

    def draw_dropout(self, entities: int, rng: torch.Generator) -> Tensor | None:
        """Draws the entities that lose their tags or geometry in training. Returns None if no entity loses anything."""
        if self.fusion is None or self.dropout == 0:
            return None
        return draw_dropout(entities, self.dropout, rng)

    def forward(
        self,
        batch: TileTensors,
        tag_table: Tensor,
        places: TokenPlaces,
        rows: Tensor | None = None,
        dropped: Tensor | None = None,
    ) -> Tensor:
        """Computes the vectors of the tokens of a batch of tiles, without positional encoding.

        Args:
            batch: tiles, with or without geometry and images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            places: result of `place` for the batch.
            rows: indices of the tokens to compute. None: all tokens. int64 [R]
            dropped: result of `draw_dropout`: what each entity loses (nothing, tags or geometry). int [entities]
        Returns:
            Token vectors. [T, D] or [R, D]
        """
        images = None if self.image is None else self.image.select(batch)
        if places.order is None or self.image is None or self.image_norm is None or images is None:
            return self._entities(batch, tag_table, rows, dropped)
        entities = self._entities(batch, tag_table, None, dropped)
        patches = self.image_norm(self.image(images))
        order = places.order if rows is None else places.order.index_select(0, rows)
        return torch.cat([entities, patches.to(entities.dtype)]).index_select(0, order)

    def _entities(self, batch: TileTensors, tag_table: Tensor, rows: Tensor | None, dropped: Tensor | None) -> Tensor:
        pool = mean_tags if self.weights is None else self.weights
        tags = _select(pool(tag_table, batch.tag_ids, batch.tag_offsets, self.tag_weights), rows)
        tags = self.tags_norm(self.tags(tags))
        if self.fusion is None:
            return tags
        tagged = _select(batch.tag_offsets.diff() > 0, rows)
        geometry = None if batch.geometry is None else _select(batch.geometry, rows)
        return self.fusion(tags, tagged, geometry, None if dropped is None else _select(dropped, rows))


def weigh_tags(module: nn.Module, weights: Tensor) -> None:
    """Sets the weight of every distinct tag of a dataset, [V], in all tokenizers of a module."""
    for part in module.modules():
        if isinstance(part, Tokenizer):
            part.tag_weights = weights


def _select(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x.index_select(0, rows)


class TileTokenizer(nn.Module):
    """Computes the input of an encoder: the sum of token content and positional encoding."""

    def __init__(self, tokenizer: Tokenizer, position: PositionEncoding) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.position = position

    def forward(
        self,
        batch: TileTensors,
        tag_table: Tensor,
        places: TokenPlaces,
        rows: Tensor | None = None,
        dropped: Tensor | None = None,
    ) -> Tensor:
        """Computes the encoder input of a batch of tiles.

        Args:
            batch: tiles, with or without geometry and images.
            tag_table: text embedding of every distinct tag of the dataset. [V, tag_dim]
            places: position and modality of the tokens, the result of `Tokenizer.place`.
            rows: indices of the tokens to compute. None: all tokens. int64 [R]
            dropped: result of `draw_dropout`: what each entity loses (nothing, tags or geometry). int [entities]
        Returns:
            Sum of content and positional encoding of each token. [T, D]
        """
        content = self.tokenizer(batch, tag_table, places, rows, dropped)
        return content + self.position(_select(places.box, rows), _select(places.modality, rows))
