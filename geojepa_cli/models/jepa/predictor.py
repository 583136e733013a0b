"""Predictors of GeoJEPA. From encoded visible tokens, they predict the vectors of hidden tokens and of the tile."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.masks.indices import MaskIndices, PredictorInput
from geojepa_cli.nn.tokens.position import PositionEncoding


class Predictor(nn.Module):
    """Transformer that predicts the vectors of hidden (target) tokens.

    It reads the tile's context tokens and one mask token for each token of a target. A mask token contains the position
    and the modality of its target token, but not the content. `PredictorInput` has two ways to arrange several targets.

    Args:
        embed_dim: width D of the encoders.
        predictor_dim: width P of the predictor.
        transformer: transformer of width P.
        position: positional encoding of width P.
    """

    def __init__(
        self, embed_dim: int, predictor_dim: int, transformer: Transformer, position: PositionEncoding
    ) -> None:
        super().__init__()
        self.proj_in = nn.Linear(embed_dim, predictor_dim)
        self.position = position
        self.mask_token = nn.Parameter(torch.zeros(predictor_dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.transformer = transformer
        self.proj_out = nn.Linear(predictor_dim, embed_dim)

    def forward(
        self, context: Tensor, box: Tensor, modality: Tensor, masks: MaskIndices, arranged: PredictorInput
    ) -> Tensor:
        """Predicts the vectors of the tokens of all targets.

        Args:
            context: encoded context tokens, in the order of `masks.context_index`. [C, D]
            box: bounding box corners of all tokens of the batch. [T, 8]
            modality: modality ids of all tokens of the batch. int64 [T]
            masks: indices of the context tokens and of the target tokens.
            arranged: arrangement of context tokens and mask tokens.
        Returns:
            Predicted vectors, in the order of `masks.target_index`. [M, D]
        """
        # computed once per token, because a token can be part of several targets
        position = self.position(box, modality)
        known = self.proj_in(context)
        known = known + position.index_select(0, masks.context_index).to(known.dtype)
        queries = self.mask_token + position
        rows = torch.cat([known, queries.to(known.dtype)])
        # faster than index_select in the backward pass, which sums the gradients of repeated rows
        x = nn.functional.embedding(arranged.index, rows)
        x = self.transformer(x, arranged.layout)
        return self.proj_out(x.index_select(0, arranged.predicted_at))


class TilePredictor(nn.Module):
    """MLP that predicts the vector of a whole tile from its visible (context) tokens alone.

    `Predictor` reads the positions of the hidden tokens, so it knows how many tokens are hidden. This MLP does not read
    them, so it must also predict the number of tokens in the tile.

    Args:
        embed_dim: width D of the encoders.
        tile_dim: width W of tile vectors.
    """

    def __init__(self, embed_dim: int, tile_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(tile_dim)
        self.mlp = Mlp(tile_dim, 2 * embed_dim, 3 * embed_dim)

    def forward(self, context_tiles: Tensor) -> Tensor:
        """Predicts tile vectors.

        Args:
            context_tiles: tile vectors, pooled from each tile's encoded context tokens. [B, W]
        Returns:
            Predicted tile vectors. Each has three parts: the maximum of the vectors of the tile's n tokens, the mean
            of these vectors, and the mean times log n. All are standardised over the batch. [B, 3·D]
        """
        return self.mlp(self.norm(context_tiles))
