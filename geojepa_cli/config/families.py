"""Schemas of training configurations by the key `family`, which names the architecture of the model."""

from __future__ import annotations

from geojepa_cli.config.baselines import LmaeConfig, TagAEConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.schema import PretrainConfig

BaselineConfig = TagAEConfig | LmaeConfig  # of a baseline that trains without labels
TileConfig = PretrainConfig | GairConfig | TagAEConfig | LmaeConfig  # of a model that is trained on tiles of regions
RunConfig = PretrainConfig | GairConfig | GeometryConfig | TagAEConfig | LmaeConfig  # of a training run of any family
SCHEMAS: dict[str, type[RunConfig]] = {
    "jepa": PretrainConfig,
    "gair": GairConfig,
    "polygon_gnn": GeometryConfig,
    "tag_ae": TagAEConfig,
    "tagformer_lmae": LmaeConfig,
}
