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
    "tiny-numbers": Variant("tiny.yaml", {"model.number_weight": 1.0}),
    "tiny-paper-t": Variant("paper-t.yaml", TINY),
    "tag-ae": Variant("tag-ae.yaml", {}),
    "tagformer-lmae": Variant("tagformer-lmae.yaml", {}),
}
WITH_IMAGES = ("ti", "gti", "tiny-ti", "tiny-gti")  # need a workspace whose regions have images
