"""Joint-embedding predictive architecture on tiles: context encoder, EMA target encoder, predictor.

Source: GeoJEPA thesis, section 7.6.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.models.jepa.encoder import TileEncoder
from geojepa_cli.models.jepa.predictor import Predictor, TilePredictor
from geojepa_cli.nn.ema import update_ema
from geojepa_cli.nn.masks.draw import draw_masks
from geojepa_cli.nn.masks.indices import MaskIndices
from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.tokens.tokens import TileTensors


@dataclass(frozen=True)
class JepaOutput:
    """Output of the model for one batch. The losses are computed from it.

    Attributes:
        predicted: predicted vectors of the target tokens. [M, D]
        target: layer-normalised vectors of the target encoder for the same tokens, without gradient. [M, D]
        target_modality: modality id of each target token. int64 [M]
        context: context tokens, encoded by the context encoder. [C, D]
        context_modality: modality id of each context token. int64 [C]
        context_tiles: max ‖ mean over each tile's encoded context tokens. [B, 2·D]
        target_tiles: tile embedding: max ‖ mean over all tokens of the target encoder, without gradient. [B, 2·D]
        predicted_tiles: max ‖ mean ‖ mean · log n of a tile of n tokens, predicted from `context_tiles`. None for a
            model that does not predict tile vectors. [B, 3·D]
        lengths: number of tokens of each tile. int64 [B]
    """

    predicted: Tensor
    target: Tensor
    target_modality: Tensor
    context: Tensor
    context_modality: Tensor
    context_tiles: Tensor
    target_tiles: Tensor
    predicted_tiles: Tensor | None
    lengths: Tensor

    @property
    def tokens(self) -> int:
        """Number of tokens in the batch."""
        return int(self.lengths.sum())


class Jepa(nn.Module):
    """Predicts the vectors that the EMA target encoder computes for hidden tokens.

    The target encoder reads the whole tile. The predictor reads the encoded context and the positions of the hidden
    tokens. The target encoder has a separate tokenizer, also a moving average, as in I-JEPA (Assran et al. 2023).

    Args:
        context_encoder: encoder of the visible tokens. It is trained; the target encoder follows it.
        predictor: predictor of the hidden tokens.
        tile_predictor: predictor of the tile vector. None disables this prediction.
    """

    def __init__(
        self, context_encoder: TileEncoder, predictor: Predictor, tile_predictor: TilePredictor | None = None
    ) -> None:
        super().__init__()
        self.context_encoder = context_encoder
        self.target_encoder = copy.deepcopy(context_encoder).requires_grad_(False)
        self.predictor = predictor
        self.tile_predictor = tile_predictor

    def forward(self, batch: TileTensors, tag_table: Tensor, rates: MaskRates, rng: torch.Generator) -> JepaOutput:
        """Draws masks and runs both encoders and the predictor on one batch.

        Args:
            batch: tiles to train on.
            tag_table: precomputed text embedding of every tag. [V, E]
            rates: parameters of mask drawing.
            rng: random generator on the CPU.
        """
        x, tokens = self.context_encoder.tokens(batch, tag_table)
        cu = tokens.cu_seqlens
        drawn = draw_masks(tokens.box, tokens.modality, cu, rates, rng, tokens.content)
        masks = MaskIndices.of(drawn, cu)
        context = self.context_encoder.encoder(x.index_select(0, masks.context_index), masks.context_cu)
        predicted = self.predictor(context, tokens.box, tokens.modality, masks)
        with torch.no_grad():
            whole, _ = self.target_encoder.tokens(batch, tag_table)
            whole = self.target_encoder.encoder(whole, cu)
            target = F.layer_norm(whole, whole.shape[1:]).index_select(0, masks.target_index)
        context_tiles = max_mean(context, masks.context_cu)
        return JepaOutput(
            predicted=predicted,
            target=target,
            target_modality=tokens.modality[masks.target_index],
            context=context,
            context_modality=tokens.modality[masks.context_index],
            context_tiles=context_tiles,
            target_tiles=max_mean(whole, cu),
            predicted_tiles=None if self.tile_predictor is None else self.tile_predictor(context_tiles),
            lengths=cu.diff(),
        )

    def update_target(self, momentum: float) -> None:
        """Updates the target encoder as the exponential moving average of the context encoder."""
        update_ema(self.target_encoder, self.context_encoder, momentum)
