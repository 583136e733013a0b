"""Predictors of the targets' latent vectors, and of the whole tile's, from encoded context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout
from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.masks.indices import MaskIndices
from geojepa_cli.nn.tokens.position import PositionEncoding


class Predictor(nn.Module):
    """A narrow transformer over [context, mask tokens with the targets' positions], one sequence per target.

    Of a target, it sees the box and the modality, never the content.

    Args:
        embed_dim: width D of the encoders.
        predictor_dim: width P inside.
        transformer: of width P.
        position: of width P.
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
        """Returns predicted vectors of all target tokens, target by target.

        Args:
            context: encoded context tokens, in the order of `masks.context_index`. [C, D]
            box: boxes of all tokens of the batch. [T, 8]
            modality: of all tokens of the batch. int64 [T]
            masks: context, targets and the predictor's sequences as indices.
        Returns:
            [M, D], in the order of `masks.target_index`.
        """
        # computed once for every token, which may be part of several targets
        position = self.position(box, modality)
        known = self.proj_in(context)
        known = known + position.index_select(0, masks.context_index).to(known.dtype)
        queries = self.mask_token + position
        rows = torch.cat([known, queries.to(known.dtype)])
        x = nn.functional.embedding(masks.predictor_index, rows)  # its backward adds up repeated rows fast
        x = self.transformer(x, PackedLayout.of(masks.predictor_cu))
        return self.proj_out(x.index_select(0, masks.predicted_at))


class TilePredictor(nn.Module):
    """Predicts the whole tile's vector from the context's, without any input about the hidden tokens.

    `Predictor` gets the positions of all targets, and thus their number. Here the context alone must predict it.

    Args:
        embed_dim: width D of the encoders.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * embed_dim)
        self.mlp = Mlp(2 * embed_dim, 2 * embed_dim, 3 * embed_dim)

    def forward(self, context_tiles: Tensor) -> Tensor:
        """max ‖ mean over each tile's context [B, 2·D] -> max ‖ mean ‖ mean · log n over the tile [B, 3·D]."""
        return self.mlp(self.norm(context_tiles))
