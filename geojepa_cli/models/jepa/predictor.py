"""Predictors of the latent vectors of hidden tokens and of the whole tile, from encoded context tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout
from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.masks.indices import MaskIndices
from geojepa_cli.nn.tokens.position import PositionEncoding


class Predictor(nn.Module):
    """Predicts target tokens with a narrow transformer, one sequence per target.

    A sequence has the context tokens of a tile, then one mask token for each target token. A mask token carries the
    bounding box and the modality of its target token, never the content.

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

    def forward(self, context: Tensor, box: Tensor, modality: Tensor, masks: MaskIndices) -> Tensor:
        """Returns the predicted vectors of all target tokens, one target after the other.

        Args:
            context: encoded context tokens, in the order of `masks.context_index`. [C, D]
            box: bounding box corners of all tokens of the batch. [T, 8]
            modality: modality ids of all tokens of the batch. int64 [T]
            masks: indices of the context tokens, the target tokens and the predictor's sequences.
        Returns:
            Vectors in the order of `masks.target_index`. [M, D]
        """
        # computed once per token, because a token can be part of several targets
        position = self.position(box, modality)
        known = self.proj_in(context)
        known = known + position.index_select(0, masks.context_index).to(known.dtype)
        queries = self.mask_token + position
        rows = torch.cat([known, queries.to(known.dtype)])
        # faster than index_select in the backward pass, which sums the gradients of repeated rows
        x = nn.functional.embedding(masks.predictor_index, rows)
        x = self.transformer(x, PackedLayout.of(masks.predictor_cu))
        return self.proj_out(x.index_select(0, masks.predicted_at))


class TilePredictor(nn.Module):
    """Predicts the vector of the whole tile from the vector of its context, without any input about hidden tokens.

    `Predictor` reads the positions of all hidden tokens, so it knows their count. Here the context alone must predict
    the count.

    Args:
        embed_dim: width D of the encoders.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * embed_dim)
        self.mlp = Mlp(2 * embed_dim, 2 * embed_dim, 3 * embed_dim)

    def forward(self, context_tiles: Tensor) -> Tensor:
        """Maps max ‖ mean over each tile's context [B, 2·D] to max ‖ mean ‖ mean · log n over the tile [B, 3·D]."""
        return self.mlp(self.norm(context_tiles))
