"""The predictors: from encoded context to the latent vectors of the targets, and of the whole tile."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout
from geojepa_cli.nn.layers.transformer import Mlp, Transformer
from geojepa_cli.nn.masks.draw import MaskedBatch
from geojepa_cli.nn.tokens.position import PositionEncoding


class Predictor(nn.Module):
    """A narrow transformer over [context, mask tokens with the targets' positions], one sequence per target.

    It sees of a target only its box and its modality, never its content.

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

    def forward(self, context: Tensor, box: Tensor, modality: Tensor, masks: MaskedBatch) -> Tensor:
        """Predicted vectors of all target tokens, target by target.

        Args:
            context: encoded context tokens, in the order of `masks.context_index`. [C, D]
            box: boxes of all tokens of the batch. [T, 8]
            modality: of all tokens of the batch. int64 [T]
            masks: which tokens are context and targets, and how the predictor's sequences are built.
        Returns:
            [M, D], in the order of `masks.target_index`.
        """
        # every token needs its position once, however many targets it is part of
        position = self.position(box, modality)
        known = self.proj_in(context)
        known = known + position.index_select(0, masks.context_index).to(known.dtype)
        queries = self.mask_token + position
        rows = torch.cat([known, queries.to(known.dtype)])
        x = nn.functional.embedding(masks.predictor_index, rows)  # its backward adds up repeated rows fast
        x = self.transformer(x, PackedLayout.of(masks.predictor_cu))
        return self.proj_out(x.index_select(0, masks.predicted_at))


class TilePredictor(nn.Module):
    """From the context's tile vector to what the whole tile's would be, nothing told of what is missing.

    `Predictor` is told where every target lies, and so how many there are; here the context itself has to tell.

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
