"""The loss of a step, and its parts for the log."""

from __future__ import annotations

import torch
from torch import Tensor

from geojepa_cli.config.schema import MODALITIES, LossConfig
from geojepa_cli.models.jepa.build import modality_weights
from geojepa_cli.models.jepa.jepa import JepaOutput
from geojepa_cli.nn.losses.losses import VicReg, prediction_loss, tile_prediction_loss, vicreg


def objective(output: JepaOutput, config: LossConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 of the predicted tokens (and tile vectors), plus VICReg on predictions, context and tile embeddings.

    Per modality, and never pooled over modalities (the thesis pools them, and leaves the tile embedding alone).

    Returns:
        The loss to minimise; its parts, detached and unweighted.
    """
    weights = modality_weights(config, output.predicted.device)
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
        return prediction, {"loss": prediction.detach(), **parts}
    tokens = [
        vicreg(predicted, output.target_modality, len(MODALITIES)),
        vicreg(context, output.context_modality, len(MODALITIES)),
    ]
    token_loss = torch.stack([_weighted(terms, config) for terms in tokens]).mean()
    regulariser = token_loss
    for name, terms in zip(("predicted", "context"), tokens, strict=True):
        parts[f"variance_{name}"] = terms.variance.detach()
        parts[f"covariance_{name}"] = terms.covariance.detach()
    if config.tile_weight:
        tiles = output.context_tiles.float()
        terms = vicreg(tiles, torch.zeros(len(tiles), dtype=torch.int64, device=tiles.device), 1)
        regulariser = regulariser + config.tile_weight * _weighted(terms, config)
        parts |= {"variance_tile": terms.variance.detach(), "covariance_tile": terms.covariance.detach()}
    loss = prediction + config.vicreg_beta * regulariser
    return loss, {"loss": loss.detach(), **parts}


def _weighted(terms: VicReg, config: LossConfig) -> Tensor:
    return config.variance_weight * terms.variance + config.covariance_weight * terms.covariance
