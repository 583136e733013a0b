"""Training loss of GeoJEPA: prediction loss plus regulariser."""

from __future__ import annotations

import torch
from torch import Tensor

from geojepa_cli.config.schema import LossConfig
from geojepa_cli.models.jepa.jepa import JepaOutput
from geojepa_cli.nn.losses.prediction import prediction_loss, tile_prediction_loss
from geojepa_cli.nn.losses.vicreg import VicRegTerms, vicreg


def jepa_losses(output: JepaOutput, config: LossConfig, weights: Tensor) -> dict[str, Tensor]:
    """Computes the training loss: the prediction loss plus the VICReg regulariser.

    The prediction loss is the smooth L1 loss of the predicted token vectors. If the model predicts tile vectors, their
    smooth L1 loss is added with the weight `tile_prediction_weight`. VICReg is computed for the vectors of predicted
    tokens, of context tokens, and of tiles (pooled from context tokens). Token losses are first averaged within each
    modality, then over the modalities. In contrast, the GeoJEPA thesis averages over the tokens of all modalities
    together and does not regularise tile vectors.

    Args:
        output: output of the model for one batch.
        config: weights of the loss terms.
        weights: weight of each modality in the prediction loss. [modalities]
    Returns:
        Dict of scalars: `loss` is the total to minimise. The others are its terms, before they are multiplied by their
        weights. The terms have no gradient.
    """
    predicted, context = output.predicted.float(), output.context.float()
    prediction = prediction_loss(
        predicted, output.target.float(), output.target_modality, weights, config.smooth_l1_beta
    )
    parts = {"prediction": prediction.detach()}
    if output.predicted_tiles is not None:
        tile = tile_prediction_loss(output.predicted_tiles.float(), output.target_tiles.float(), output.lengths)
        prediction = prediction + config.tile_prediction_weight * tile
        parts["prediction_tile"] = tile.detach()
    if config.regulariser == "none":
        return {"loss": prediction, **parts}
    tokens = {
        "predicted": vicreg(predicted, output.target_modality, len(weights)),
        "context": vicreg(context, output.context_modality, len(weights)),
    }
    regulariser = torch.stack([_weighted(terms, config) for terms in tokens.values()]).mean()
    for name, terms in tokens.items():
        parts |= {f"variance_{name}": terms.variance.detach(), f"covariance_{name}": terms.covariance.detach()}
    if config.tile_weight:
        tiles = output.context_tiles.float()
        terms = vicreg(tiles, torch.zeros(len(tiles), dtype=torch.int64, device=tiles.device), 1)
        regulariser = regulariser + config.tile_weight * _weighted(terms, config)
        parts |= {"variance_tile": terms.variance.detach(), "covariance_tile": terms.covariance.detach()}
    return {"loss": prediction + config.vicreg_beta * regulariser, **parts}


def _weighted(terms: VicRegTerms, config: LossConfig) -> Tensor:
    return config.variance_weight * terms.variance + config.covariance_weight * terms.covariance
