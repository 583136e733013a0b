"""Configurations: YAML into typed models; an unknown key is an error that names the nearest one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geojepa_cli.errors import UsageError, nearest, not_yaml, unknown

Modality = Literal["tags", "image"]
MODALITIES: tuple[Modality, ...] = ("tags", "image")  # in the order of their numbers in `nn.position`


# beyond any model of tiles that was trained; a slip of the keyboard would hang or fill the memory
MAX_WIDTH = 8192
MAX_DEPTH = 256
MAX_PARAMETERS = 4_000_000_000


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(_Section):
    """The network. Defaults: GeoJEPA-T (thesis 7.6, table 34)."""

    modalities: tuple[Modality, ...] = Field(default=("tags",), description="what becomes tokens: tags, image")
    tag_dim: int = Field(default=384, ge=1, le=MAX_WIDTH, description="width of the text embeddings of tags")
    embed_dim: int = Field(default=384, ge=8, le=MAX_WIDTH, description="width of both encoders")
    depth: int = Field(default=12, ge=1, le=MAX_DEPTH, description="layers of each encoder")
    num_heads: int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads of each encoder")
    mlp_ratio: float = Field(default=4.0, gt=0, le=64, description="hidden width of the MLPs over their width")
    num_register_tokens: int = Field(default=0, ge=0, le=4096, description="extra tokens, never part of an embedding")
    predictor_dim: int = Field(default=256, ge=8, le=MAX_WIDTH, description="width of the predictor")
    predictor_depth: int = Field(default=4, ge=1, le=MAX_DEPTH, description="layers of the predictor")
    predictor_heads: int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads of the predictor")
    position: Literal["corners", "rectangle"] = Field(
        default="rectangle", description="`corners`: the box's 8 numbers (thesis); `rectangle`: centre, sides, turn"
    )
    input_weight: float | None = Field(
        default=1.0, ge=0, description="weight of a token's own input beside its layers; none: last layer (thesis)"
    )
    null_weight: float = Field(
        default=0.0, ge=0, description="attention to nothing, worth so many tokens; 0: softmax (thesis)"
    )
    freeze_tags: bool = Field(
        default=False, description="keep the random projection of tag embeddings as it starts (thesis: trained)"
    )
    predict_tile: bool = Field(
        default=False, description="also predict the whole tile's vector from the context's (thesis: no)"
    )
    image_encoder: Literal["patch"] = Field(default="patch", description="`patch`: trainable patch embedding")
    patch_px: int = Field(default=32, ge=1, description="side of an image patch, divides 224")

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.predictor_dim % self.predictor_heads:
            raise ValueError(
                f"predictor_dim {self.predictor_dim} is not a multiple of predictor_heads {self.predictor_heads}"
            )
        parameters = self.depth * self.embed_dim**2 * (4 + 2 * self.mlp_ratio)  # of the layers' matrices
        if parameters > MAX_PARAMETERS:
            raise ValueError(
                f"an encoder of depth {self.depth} and embed_dim {self.embed_dim} has {parameters / 1e9:,.0f} thousand "
                f"million parameters, at most {MAX_PARAMETERS / 1e9:,.0f} are allowed"
            )
        if 224 % self.patch_px:
            raise ValueError(f"patch_px {self.patch_px} does not divide 224")
        if "tags" not in self.modalities:
            raise ValueError("modalities must hold `tags`")
        return self


class MaskingConfig(_Section):
    """How context and targets are drawn. Defaults: thesis 7.6.8, table 14."""

    random: float = Field(default=0.2, ge=0, description="odds of random masks")
    area: float = Field(default=0.6, ge=0, description="odds of area masks")
    modality: float = Field(default=0.2, ge=0, description="odds of modality masks, where there are several")
    kind: float = Field(default=0.0, ge=0, description="odds of masks of like entities (thesis: 0)")
    num_targets: int = Field(default=4, ge=1, le=256, description="targets of random, area and kind masks")
    random_ratio: float = Field(default=0.45, gt=0, lt=1, description="share of the tokens in a random target")
    area_low: float = Field(default=0.35, gt=0, le=1, description="least share of the tile's area in an area target")
    area_high: float = Field(default=0.40, gt=0, le=1, description="largest share of it")
    aspect: float = Field(default=2.0, ge=1, description="largest aspect ratio of an area target")
    kind_low: float = Field(default=0.5, ge=-1, le=1, description="likeness (cosine) of a kind target's entities, from")
    kind_high: float = Field(default=0.99, ge=-1, le=1, description="likeness of a kind target's entities, to")
    random_context: float = Field(default=0.10, ge=0, lt=1, description="least share of tokens left as context, random")
    area_context: float = Field(default=0.15, ge=0, lt=1, description="the same for area masks")
    modality_context: float = Field(default=0.15, ge=0, lt=1, description="the same for modality masks")
    kind_context: float = Field(default=0.10, ge=0, lt=1, description="the same for kind masks")

    @model_validator(mode="after")
    def _sensible(self) -> MaskingConfig:
        if self.random + self.area + self.kind <= 0:
            raise ValueError("random, area and kind are all 0: no tile of one modality could be masked")
        if self.kind_low > self.kind_high:
            raise ValueError(f"kind_low {self.kind_low} is above kind_high {self.kind_high}")
        if self.area_low > self.area_high:
            raise ValueError(f"area_low {self.area_low} is above area_high {self.area_high}")
        return self


def _equal_weights() -> dict[Modality, float]:
    return dict.fromkeys(MODALITIES, 1.0)


class LossConfig(_Section):
    """Latent prediction and regulariser."""

    smooth_l1_beta: float = Field(default=2.0, gt=0, description="where smooth L1 turns from square to linear")
    modality_weights: dict[Modality, float] = Field(
        default_factory=_equal_weights, description="weights of the modalities' mean losses"
    )
    tile_prediction_weight: float = Field(
        default=1.0, ge=0, description="weight of the predicted tile vector (`model.predict_tile`)"
    )
    regulariser: Literal["vicreg", "none"] = Field(default="vicreg", description="against collapse")
    vicreg_beta: float = Field(default=0.05, ge=0, description="weight of the regulariser beside the prediction")
    variance_weight: float = Field(default=25.0, ge=0, description="weight of VICReg's variance term")
    covariance_weight: float = Field(default=1.0, ge=0, description="weight of VICReg's covariance term")
    tile_weight: float = Field(default=1.0, ge=0, description="the same on the tile embedding (thesis: 0)")


class TrainConfig(_Section):
    """Optimiser, schedules, and when to stop. It stops at the first limit that is set and reached."""

    max_steps: int | None = Field(default=None, ge=0, description="optimiser steps; 0 publishes the untrained model")
    epochs: float | None = Field(default=None, gt=0, examples=[10], description="passes over the tiles")
    max_minutes: float | None = Field(default=None, gt=0, description="wall-clock limit; not repeatable to the bit")
    batch_tokens: int = Field(default=8192, ge=1, description="token budget of a batch")
    accumulation: int = Field(default=1, ge=1, description="batches per optimiser step")
    lr: float = Field(default=1e-3, gt=0, description="peak learning rate")
    lr_end: float = Field(default=1e-6, ge=0, description="last learning rate")
    schedule: Literal["wsd", "cosine"] = Field(
        default="wsd", description="after the warm-up: `wsd` constant, then a linear cool-down; `cosine` (thesis)"
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the training that warms up")
    cooldown: float = Field(default=0.2, ge=0, le=1, description="share that cools down (`wsd`)")
    weight_decay: float = Field(default=0.04, ge=0, description="weight decay of matrices")
    weight_decay_end: float | None = Field(default=None, ge=0, description="cosine to this (thesis); none: fixed")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="AdamW")
    ema_momentum: float = Field(default=0.997, ge=0, le=1, description="momentum of the target encoder")
    ema_momentum_end: float | None = Field(default=None, ge=0, le=1, description="linear to this (thesis); none: fixed")
    grad_clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the matrix products")
    log_every: int = Field(default=20, ge=1, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(default=100, ge=1, description="steps between checkpoints")

    @model_validator(mode="after")
    def _stops(self) -> TrainConfig:
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            raise ValueError("set max_steps, epochs or max_minutes")
        if self.warmup + self.cooldown > 1:
            raise ValueError(f"warmup {self.warmup} and cooldown {self.cooldown} are more than the whole")
        return self


class DataConfig(_Section):
    """Which tiles are trained on."""

    min_entities: int = Field(default=5, ge=1, description="tiles with fewer are left out")
    max_entities: int = Field(default=1250, ge=1, description="tiles with more are left out")
    split_seed: int = Field(default=0, description="seed of the tasks' split into train, val and test groups")
    exclude_test_groups: bool = Field(default=True, description="leave out the zoom-14 groups that the tasks test on")


class PretrainConfig(_Section):
    """All of a pretraining run but its data and seed."""

    model: ModelConfig = ModelConfig()
    masking: MaskingConfig = MaskingConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice in a section is an error: PyYAML takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key `{key.value}` again", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Plain YAML.

    Raises:
        yaml.YAMLError: it is none, or a key stands twice in one section.
    """
    return yaml.load(text, UniqueKeys)  # noqa: S506 - a SafeLoader


def packed_configs() -> list[str]:
    """Names of the configs that come with the package."""
    folder = resources.files("geojepa_cli.config.presets")
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(path_or_name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """Reads a configuration from a file, or from the package by name (`t.yaml` or `t`).

    Args:
        path_or_name: a path wins over a packed name.
        overrides: `section.key=value`, values in YAML, applied in order.

    Raises:
        UsageError: no such config, not YAML, an unknown key, a value of another type, or an override that is none.
    """
    raw = _parse(*_read(path_or_name))
    for override in overrides:
        _override(raw, override)
    try:
        return PretrainConfig.model_validate(raw)
    except ValidationError as error:
        raise _told(error, path_or_name) from None


def dump_config(config: PretrainConfig) -> str:
    """The configuration as YAML, every default written out; `load_config` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read(path_or_name: str) -> tuple[str, str]:
    """The text and what to call it."""
    path = Path(path_or_name)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except UnicodeDecodeError as error:
            raise not_yaml(str(path), error) from None
    name = path_or_name if path_or_name.endswith(".yaml") else path_or_name + ".yaml"
    packed = packed_configs()
    if name in packed:
        return (resources.files("geojepa_cli.config.presets") / name).read_text(encoding="utf-8"), name
    raise unknown("config", path_or_name, packed, hint="geojepa pretrain --config tiny.yaml, or the path of a file")


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        raw = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise not_yaml(source, error) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UsageError(
            f"`{source}` holds {_kind(raw)}, expected sections such as `train:`",
            hint=f"sections: {', '.join(_keys([]))}",
        )
    return raw


def _override(raw: dict[str, Any], override: str) -> None:
    """Sets `a.b=value` in nested dicts."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"`{override}` is not key=value", hint="--set train.lr=1e-3")
    *sections, last = key.strip().split(".")
    place = raw
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"`{section}` in `{key}` is {_kind(inner)}, not a section")
        place = inner
    try:
        place[last] = _number(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        raise UsageError(f"value of `{key}` is not YAML: `{text}`", hint="--set train.lr=1e-3") from None


def _number(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as a string; here it is a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _told(error: ValidationError, source: str) -> UsageError:
    """The first of pydantic's complaints, as one line with the dotted path of the key."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    dotted = ".".join(path)
    if first["type"] == "extra_forbidden":
        close = nearest(path[-1], _keys(path[:-1])) or _elsewhere(path[-1])
        guess = ""
        if close is not None:
            better = close if "." in close else ".".join([*path[:-1], close])
            guess = f"; did you mean `{better}`?"
        return UsageError(f"unknown key `{dotted}` in `{source}`{guess}", hint=f"keys: {', '.join(_keys(path[:-1]))}")
    if first["type"] == "missing":
        return UsageError(f"`{source}` lacks `{dotted}`", hint=f"keys: {', '.join(_keys(path[:-1]))}")
    got = first.get("input")
    shown = "" if isinstance(got, Mapping) or first["type"] == "value_error" else f", got `{got}`"
    reason = first["msg"].removeprefix("Value error, ")
    hint = _defaults(path, reason)
    return UsageError(f"`{dotted}` in `{source}`: {reason[:1].lower()}{reason[1:]}{shown}", hint=hint)


def _defaults(path: Sequence[str], reason: str) -> str | None:
    """Options that set a key back to its default; of a section, the keys that the reason speaks of."""
    words = []
    named = set(re.findall(r"\w+", reason))
    for section in _keys([]):
        for key in _keys([section]):
            if path[:2] != [section, key] and not (path == [section] and key in named):
                continue
            field = _section(section).model_fields[key]
            value = field.get_default(call_default_factory=True)
            value = (field.examples or [None])[0] if value is None else value
            if value is not None:
                dumped = list(value) if isinstance(value, tuple) else value
                shown = yaml.safe_dump(dumped, default_flow_style=True, width=1000).split("\n...")[0].strip()
                words += ["--set", f"{section}.{key}={shown}"]
    return shlex.join(words) or None


def _section(name: str) -> type[BaseModel]:
    kind = PretrainConfig.model_fields[name].annotation
    assert isinstance(kind, type) and issubclass(kind, BaseModel)
    return kind


def _keys(path: Sequence[str]) -> list[str]:
    """Keys of the section at `path`."""
    section: type[BaseModel] = PretrainConfig
    for part in path:
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return list(MODALITIES) if part == "modality_weights" else []
        section = inner
    return list(section.model_fields)


def _elsewhere(key: str) -> str | None:
    """`section.key` where another section has a key like this one."""
    places = {inner: f"{section}.{inner}" for section in _keys([]) for inner in _keys([section])}
    close = nearest(key, places)
    return places[close] if close else None


def _kind(value: Any) -> str:
    for kind, said in ((list, "a list"), (str, "a text"), (dict, "a section")):
        if isinstance(value, kind):
            return said
    return f"`{value}`"
