"""Joint-embedding predictive architecture (JEPA) for tiles: context encoder, EMA target encoder and predictors.

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
    """Output of a GeoJEPA model for one batch, from which the losses are computed.

    Attributes:
        predicted: predicted vectors of the hidden (target) tokens. [M, D]
        target: vectors that the target encoder computes for the hidden tokens, layer-normalised. No gradient. [M, D]
        target_modality: modality id of each hidden token. int64 [M]
        context: vectors that the context encoder computes for the visible (context) tokens. [C, D]
        context_modality: modality id of each visible token. int64 [C]
        context_tiles: for each tile, the maximum and the mean of its vectors in `context`, concatenated. [B, 2·D]
        target_tiles: for each tile, the maximum and the mean of the vectors that the target encoder computes for all
            tokens of the tile, concatenated. No gradient. [B, 2·D]
        predicted_tiles: for each tile, three vectors that are predicted from `context_tiles`, concatenated. They
            predict the maximum in `target_tiles`, the mean in `target_tiles`, and this mean times the logarithm of the
            number of tokens in the tile. The predicted values are those after standardisation over the batch. None if
            the model does not predict tile vectors. [B, 3·D]
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
    """GeoJEPA model in training: predicts the target encoder's vectors of hidden tokens from the visible tokens.

    The context encoder reads the visible tokens of a tile. The target encoder reads all tokens of the tile. The
    predictor reads the context encoder's output and the positions of the hidden tokens. All weights of the target
    encoder, including its tokenizer, are an exponential moving average (EMA) of the context encoder's weights, as in
    I-JEPA (Assran et al. 2023).

    Args:
        context_encoder: untrained encoder. The target encoder starts as a copy of it.
        predictor: predictor of the hidden tokens' vectors.
        tile_predictor: predictor of the tile vector. None: the model does not predict tile vectors.
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
        """Draws a mask for each tile of a batch, and runs both encoders and the predictors.

        Args:
            batch: tiles to train on.
            tag_table: text embedding of every distinct tag of the dataset. [V, E]
            rates: parameters of the masks that hide tokens.
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
        """Moves the target encoder's weights towards those of the context encoder.

        Args:
            momentum: weight of the old value in the exponential moving average, 0 to 1.
        """
        update_ema(self.target_encoder, self.context_encoder, momentum)
