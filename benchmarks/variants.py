"""Configurations that the benchmarks of training compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """Configuration to train.

    Attributes:
        config: name of a packed configuration.
        settings: settings to replace.
    """

    config: str
    settings: Mapping[str, Any]


# one size for all JEPA variants, so that they can be compared
SIZE = {
    "model.embed_dim": 192,
    "model.depth": 6,
    "model.num_heads": 6,
    "model.predictor_dim": 96,
    "model.predictor_depth": 3,
    "model.predictor_heads": 6,
    "train.accumulation": 1,
    "train.batch_tokens": 4096,
}
# for runs of up to a few thousand steps; the thesis's learning rate, momentum and ramps stay as they are
SHORT = {"train.lr": 1.4e-3, "train.ema_momentum": 0.99, "train.warmup": 0.05, "train.cooldown": 0.3}
# the size of tiny.yaml, for runs of minutes
TINY = {
    "model.embed_dim": 128,
    "model.depth": 3,
    "model.num_heads": 4,
    "model.predictor_dim": 64,
    "model.predictor_depth": 2,
    "model.predictor_heads": 4,
    "train.accumulation": 1,
    "train.batch_tokens": 4096,
}
GEOMETRY = {"model.modalities": ["tags", "geometry"]}
# masks of ti.yaml; all other settings of tiny.yaml, so that only the input differs
IMAGE = {"masking.random": 0.1, "masking.area": 0.4, "masking.modality": 0.2, "masking.kind": 0.3}
GAIR = {**GEOMETRY, "model.geometry_encoder": "gair"}  # of the newest GAIR model of the workspace
POLYGON = {"model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 256}
VARIANTS = {
    "t": Variant("t.yaml", {**SIZE, **SHORT}),
    "gt": Variant("gt.yaml", {**SIZE, **SHORT}),
    "gt-polygon": Variant("gt.yaml", {**SIZE, **SHORT, **POLYGON}),
    "ti": Variant("ti.yaml", {**SIZE, **SHORT}),
    "gti": Variant("gti.yaml", {**SIZE, **SHORT}),
    "paper-t": Variant("paper-t.yaml", SIZE),
    "paper-gt": Variant("paper-gt.yaml", SIZE),
    "tiny": Variant("tiny.yaml", {}),
    "tiny-gt": Variant("tiny.yaml", GEOMETRY),
    "tiny-ti": Variant("tiny.yaml", {**IMAGE, "model.modalities": ["tags", "image"]}),
    "tiny-gti": Variant("tiny.yaml", {**IMAGE, "model.modalities": ["tags", "geometry", "image"]}),
    "tiny-gair": Variant("tiny.yaml", GAIR),
    "tiny-gti-gair": Variant("tiny.yaml", {**IMAGE, **GAIR, "model.modalities": ["tags", "geometry", "image"]}),
    "tiny-paper-t": Variant("paper-t.yaml", TINY),
    "tag-ae": Variant("tag-ae.yaml", {}),
    "tagformer-lmae": Variant("tagformer-lmae.yaml", {}),
}
# tiny.yaml without one of its means, or with one that it does not have
ABLATIONS = {
    "tiny-no-kind": Variant("tiny.yaml", {"masking.random": 0.25, "masking.area": 0.75, "masking.kind": 0.0}),
    "tiny-no-summary": Variant("tiny.yaml", {"model.summary_dim": 0, "loss.whole_tag_share": 0.0}),
    "tiny-no-whole": Variant("tiny.yaml", {"loss.whole_tag_share": 0.0}),
    "tiny-no-latent": Variant("tiny.yaml", {"loss.prediction_weight": 0.0}),
    "tiny-latent-alone": Variant("tiny.yaml", {"loss.tag_prediction_weight": 0.0, "loss.tile_prediction_weight": 0.0}),
    "tiny-more-latent": Variant("tiny.yaml", {"loss.prediction_weight": 100.0}),
    "tiny-few-tags": Variant("tiny.yaml", {"loss.tag_prediction_weight": 0.2}),
    "tiny-no-tile": Variant("tiny.yaml", {"model.predict_tile": False, "loss.tile_prediction_weight": 0.0}),
    "tiny-no-sketch": Variant("tiny.yaml", {"model.sketch_dim": 0}),
    "tiny-max-mean": Variant("tiny.yaml", {"model.pooling": "max_mean"}),
    "tiny-places": Variant("tiny.yaml", {"model.place_weight": 1.0}),
    "tiny-trained-tags": Variant("tiny.yaml", {"model.freeze_tags": False}),
    "tiny-no-null": Variant("tiny.yaml", {"model.null_weight": 0.0}),
    "tiny-last-layer": Variant("tiny.yaml", {"model.input_weight": None}),
    "tiny-no-vicreg": Variant("tiny.yaml", {"loss.regulariser": "none"}),
    "tiny-sigreg": Variant("tiny.yaml", {"loss.regulariser": "sigreg"}),
    "tiny-info-nce": Variant("tiny.yaml", {"loss.prediction": "info_nce"}),
    "tiny-random-targets": Variant("tiny.yaml", {"loss.targets": "random_projection"}),
    "tiny-gram": Variant("tiny.yaml", {"loss.gram_weight": 1.0}),
    "tiny-sum": Variant("tiny.yaml", {"model.pooling": "sum"}),
    "tiny-attention": Variant("tiny.yaml", {"model.pooling": "attention"}),
    "tiny-learned-weights": Variant("tiny.yaml", {"model.tag_weighting": "learned"}),
    "tiny-numbers": Variant("tiny.yaml", {"model.number_weight": 1.0}),
}
# tiny.yaml in other sizes; the predictor is half as wide as the encoder, as there
SIZES = {
    "tiny-64": Variant("tiny.yaml", {"model.embed_dim": 64, "model.num_heads": 2, "model.predictor_dim": 32}),
    "tiny-256": Variant("tiny.yaml", {"model.embed_dim": 256, "model.num_heads": 8, "model.predictor_dim": 128}),
    "tiny-1-layer": Variant("tiny.yaml", {"model.depth": 1}),
    "tiny-6-layers": Variant("tiny.yaml", {"model.depth": 6}),
}
WITH_IMAGES = (
    "ti",
    "gti",
    "tiny-ti",
    "tiny-gti",
    "tiny-gair",
    "tiny-gti-gair",
)  # need a workspace whose regions have images
