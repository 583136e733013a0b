"""Training loss of GeoJEPA: prediction loss, plus regulariser, plus Gram anchoring."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor

from geojepa_cli.config.loss import LossConfig
from geojepa_cli.models.jepa.jepa import JepaOutput
from geojepa_cli.nn.losses.gram import gram_loss
from geojepa_cli.nn.losses.info_nce import info_nce
from geojepa_cli.nn.losses.prediction import (
    mean_over_modalities,
    mean_over_tokens,
    modality_shares,
    smooth_l1,
    tile_prediction_loss,
)
from geojepa_cli.nn.losses.sigreg import random_directions, sigreg
from geojepa_cli.nn.losses.vicreg import VicRegTerms, vicreg
from geojepa_cli.nn.summary import tag_prediction_loss


def jepa_losses(
    output: JepaOutput,
    config: LossConfig,
    weights: Tensor,
    rng: torch.Generator,
    modalities: Mapping[str, int],
) -> dict[str, Tensor]:
    """Computes the training loss: the prediction loss, plus the regulariser, plus Gram anchoring.

    The prediction loss compares the predicted token vectors with their targets (`loss.prediction`), and has the weight
    `prediction_weight`. If the model predicts tile vectors, their smooth L1 loss is added with the weight
    `tile_prediction_weight`. If it predicts the tags of tiles, their loss is added with the weight
    `tag_prediction_weight`. `whole_tag_share` is the share of predictions from whole tiles in this loss; the others are
    from context tokens. The regulariser is computed for the vectors of predicted tokens, of context tokens, and of
    tiles (pooled from context tokens). Token losses are first averaged within each modality, then over the modalities.
    With `loss.average` `token`, as in the GeoJEPA thesis, they are averaged over the tokens of all modalities together.
    The thesis does not regularise tile vectors.

    Args:
        output: output of the model for one batch.
        config: weights of the loss terms.
        weights: weight of each modality in the prediction loss. [modalities]
        rng: random generator on the CPU, for the directions of SIGReg.
        modalities: name and id of each modality that the model reads.
    Returns:
        Dict of scalars: `loss` is the total to minimise. The others are its terms, before they are multiplied by their
        weights. The terms have no gradient. If there are several parts, `loss_share_<part>` is the share of a part in
        the total, after it was multiplied by its weight. The parts are `prediction`, `tile`, `tags`, `regulariser` and
        `gram`. If the model reads several modalities, `prediction_<name>` is a modality's summand of the prediction
        loss, and `prediction_share_<name>` is this summand divided by the prediction loss.
    """
    predicted, context = output.predicted.float(), output.context.float()
    values = _token_losses(predicted, output, config)
    by_token = config.average == "token"
    prediction = (mean_over_tokens if by_token else mean_over_modalities)(values, output.target_modality, weights)
    parts = {"prediction": prediction.detach()}
    weighted = {"prediction": config.prediction_weight * prediction}
    if len(modalities) > 1:
        parts |= _shares(modality_shares(values, output.target_modality, weights, by_token), modalities)
    if output.predicted_tiles is not None:
        tile = tile_prediction_loss(output.predicted_tiles.float(), output.target_tiles.float(), output.lengths)
        weighted["tile"] = config.tile_prediction_weight * tile
        parts["prediction_tile"] = tile.detach()
    if output.predicted_tags is not None and output.tag_counts is not None:
        tags, terms = _tag_losses(output.predicted_tags, output.whole_tags, output.tag_counts, config)
        weighted["tags"] = config.tag_prediction_weight * tags
        parts |= terms
    if config.regulariser != "none":
        sets = _regularised(predicted, context, output, len(weights) if len(modalities) > 1 and not by_token else 1)
        if config.tile_weight:
            sets["tile"] = _together(output.context_tiles.float())
        weighted["regulariser"], terms = (_vicreg if config.regulariser == "vicreg" else _sigreg)(sets, config, rng)
        parts |= terms
    if output.gram is not None:
        gram = gram_loss(context, output.gram.float(), output.context_lengths)
        weighted["gram"] = config.gram_weight * gram
        parts["gram"] = gram.detach()
    loss = reduce(torch.add, weighted.values())
    return {"loss": loss, **parts, **_loss_shares(weighted, loss)}


VectorSets = Mapping[str, tuple[Tensor, Tensor, int]]  # vectors, their modality ids, number of modalities


def _regularised(
    predicted: Tensor, context: Tensor, output: JepaOutput, modalities: int
) -> dict[str, tuple[Tensor, Tensor, int]]:
    """Returns the token vectors that are regularised, by modality or, if `modalities` is 1, all together."""
    tokens = {"predicted": (predicted, output.target_modality), "context": (context, output.context_modality)}
    return {name: (*one, modalities) if modalities > 1 else _together(one[0]) for name, one in tokens.items()}


def _together(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Returns vectors with the ids of a single modality."""
    return x, torch.zeros(len(x), dtype=torch.int64, device=x.device), 1


def _loss_shares(weighted: Mapping[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
    if len(weighted) < 2:
        return {}
    total = loss.detach().clamp_min(1e-12)
    return {f"loss_share_{name}": part.detach() / total for name, part in weighted.items()}


def _shares(summands: Tensor, modalities: Mapping[str, int]) -> dict[str, Tensor]:
    shares = summands / summands.sum().clamp_min(1e-12)
    parts = {f"prediction_{name}": summands[number] for name, number in modalities.items()}
    return parts | {f"prediction_share_{name}": shares[number] for name, number in modalities.items()}


def _token_losses(predicted: Tensor, output: JepaOutput, config: LossConfig) -> Tensor:
    target = output.target.float()
    if config.prediction == "info_nce":
        return info_nce(predicted, target, output.target_tile, len(output.lengths), config.temperature)
    return smooth_l1(predicted, target, config.smooth_l1_beta)


def _tag_losses(
    predicted: Tensor, whole: Tensor | None, counts: Tensor, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the tag prediction loss, and its terms: predictions from context tokens, and from whole tiles."""
    loss = tag_prediction_loss(predicted.float(), counts)
    parts = {"prediction_tags": loss.detach()}
    if whole is not None:
        other = tag_prediction_loss(whole.float(), counts)
        parts["prediction_whole_tags"] = other.detach()
        loss = torch.lerp(loss, other, config.whole_tag_share)
    return loss, parts


def _vicreg(sets: VectorSets, config: LossConfig, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the weighted VICReg loss of all sets of vectors, and its terms."""
    terms = {name: vicreg(*vectors) for name, vectors in sets.items()}
    parts: dict[str, Tensor] = {}
    for name, found in terms.items():
        parts |= {f"variance_{name}": found.variance.detach(), f"covariance_{name}": found.covariance.detach()}
    values = {name: _weighted(found, config) for name, found in terms.items()}
    return config.vicreg_beta * _combine(values, config), parts


def _sigreg(sets: VectorSets, config: LossConfig, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the weighted SIGReg loss of all sets of vectors, and its terms."""
    values = {}
    for name, (x, modality, modalities) in sets.items():
        directions = random_directions(x.shape[1], config.sigreg_slices, rng, x.device)
        values[name] = sigreg(x, modality, modalities, directions)
    parts = {f"sigreg_{name}": value.detach() for name, value in values.items()}
    return config.sigreg_weight * _combine(values, config), parts


def _combine(values: Mapping[str, Tensor], config: LossConfig) -> Tensor:
    total = torch.stack([values["predicted"], values["context"]]).mean()
    return total + config.tile_weight * values["tile"] if "tile" in values else total


def _weighted(terms: VicRegTerms, config: LossConfig) -> Tensor:
    return config.variance_weight * terms.variance + config.covariance_weight * terms.covariance
