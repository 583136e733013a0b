"""Schema of the section `loss` of a training configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from geojepa_cli.config.modality import TOKEN_MODALITIES, Modality
from geojepa_cli.config.numbers import MAX_WEIGHT, Float, Int, Share, Weight
from geojepa_cli.config.section import ConflictError, Section


def _equal_weights() -> dict[Modality, float]:
    return dict.fromkeys(TOKEN_MODALITIES, 1.0)


class LossConfig(Section):
    """Settings of the training loss: the prediction loss of hidden tokens plus a regulariser."""

    prediction: Literal["smooth_l1", "info_nce"] = Field(
        default="smooth_l1",
        description="prediction loss: `smooth_l1` (GeoJEPA thesis), or `info_nce`, which compares a predicted vector "
        "with the vectors of all hidden tokens of its tile",
    )
    prediction_weight: Weight = Field(
        default=1.0,
        description="weight of the prediction loss of hidden tokens (GeoJEPA thesis: 1); 0 trains with the other terms "
        "alone",
    )
    temperature: Float = Field(default=0.1, ge=1e-3, le=100, description="temperature of the loss `info_nce`")
    targets: Literal["ema", "random_projection"] = Field(
        default="ema",
        description="vectors to predict: `ema`, the output of the target encoder (GeoJEPA thesis), or "
        "`random_projection`, a random linear projection of the token's input, which is not trained",
    )
    smooth_l1_beta: Float = Field(
        default=2.0,
        ge=1e-6,
        le=MAX_WEIGHT,
        description="difference between prediction and target above which the smooth L1 loss is linear instead of "
        "quadratic",
    )
    average: Literal["modality", "token"] = Field(
        default="modality",
        description="how losses are averaged: `modality`, within each modality, then over modalities; or `token`, over "
        "the tokens of all modalities together (GeoJEPA thesis)",
    )
    modality_weights: dict[Modality, Weight] = Field(
        default_factory=_equal_weights, description="weight of each modality with tokens in the prediction loss"
    )
    tile_prediction_weight: Weight = Field(
        default=1.0, description="weight of the tile prediction loss; used only if `model.predict_tile` is true"
    )
    tag_prediction_weight: Weight = Field(
        default=4.0, description="weight of the tag prediction loss; used only if `model.summary_dim` is above 0"
    )
    whole_tag_share: Share = Field(
        default=0.0,
        description="share of predictions from whole tiles in the tag prediction loss; the others are from the visible "
        "(context) tokens",
    )
    regulariser: Literal["vicreg", "sigreg", "none"] = Field(
        default="vicreg",
        description="regulariser that prevents collapse (equal embeddings for all inputs): `vicreg` (GeoJEPA thesis), "
        "`sigreg`, or `none`",
    )
    vicreg_beta: Weight = Field(default=0.05, description="weight of VICReg; the prediction loss has weight 1")
    variance_weight: Weight = Field(default=25.0, description="weight of VICReg's variance term")
    covariance_weight: Weight = Field(default=1.0, description="weight of VICReg's covariance term")
    tile_weight: Weight = Field(
        default=1.0,
        description="weight of the regulariser on tile vectors; the regulariser on tokens has weight 1 "
        "(GeoJEPA thesis: 0)",
    )
    sigreg_weight: Weight = Field(default=1.0, description="weight of SIGReg; the prediction loss has weight 1")
    sigreg_slices: Int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="number of random directions on which SIGReg projects vectors in each step",
    )
    gram_weight: Weight = Field(
        default=0.0,
        description="weight of Gram anchoring, which keeps the similarities of a tile's tokens close to those of an "
        "older target encoder; 0: off (GeoJEPA thesis)",
    )
    gram_start: Share = Field(
        default=0.5,
        description="fraction of the run after which Gram anchoring starts; the target encoder is copied at this time",
    )

    def check_weights(self, modalities: Sequence[Modality], predicts_tiles: bool) -> None:
        """Checks `modality_weights` and `prediction_weight` for a model.

        Args:
            modalities: modalities that the model reads.
            predicts_tiles: True if the model also predicts the vector or the tags of a tile.

        Raises:
            ConflictError: a weight is of a modality without tokens, all modalities of the model have weight 0, or
                `prediction_weight` is 0 and the model predicts nothing else.
        """
        known = ", ".join(f"`{one}`" for one in TOKEN_MODALITIES)
        if other := [one for one in self.modality_weights if one not in TOKEN_MODALITIES]:
            message = f"modality_weights has `{other[0]}`, which has no tokens: expected {known}"
            raise ConflictError(message, "loss.modality_weights")
        read = [one for one in TOKEN_MODALITIES if one in modalities]
        if not any(self.modality_weights.get(one, 1.0) for one in read):
            message = "modality_weights is 0 for all modalities that the model reads, so nothing would be predicted"
            raise ConflictError(message, "loss.modality_weights")
        if not (self.prediction_weight or predicts_tiles):
            message = (
                "prediction_weight is 0, and the model predicts neither tile vectors nor tags, so there is no target"
            )
            raise ConflictError(message, "loss.prediction_weight")
