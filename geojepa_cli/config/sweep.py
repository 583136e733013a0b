"""Schema of sweep files: which settings of a configuration to vary, and on which tasks to test the models."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from geojepa_cli.config.limits import MAX_FOLDS
from geojepa_cli.config.numbers import MAX_SEED, Int
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.section import ConflictError, Section

MAX_TRIALS = 1000
MAX_SETTINGS = 32  # settings that vary
MAX_VALUES = 100  # of a setting
MAX_SEEDS = 100
MAX_MODELS = 5000  # trials × seeds × folds
MAX_TEXT = 200  # characters
MAX_LIST = 16  # entries of a value that is a list

Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _read_value(value: Any) -> Any:
    """Checks a value of a setting. Converts text such as `1e-3`, which is text in YAML 1.1, to a number."""
    if isinstance(value, list | tuple):
        if len(value) > MAX_LIST or any(isinstance(one, list | tuple) for one in value):
            raise PydanticCustomError("value", f"expected a list of at most {MAX_LIST} values")
        return tuple(_read_value(one) for one in value)
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise PydanticCustomError("value", f"expected at most {MAX_TEXT} characters")
        return float(value) if _EXPONENT.fullmatch(value) else value
    if value is None or isinstance(value, bool | int | float):
        return value
    raise PydanticCustomError("value", "expected a value of a setting: text, a number, a list, true, false or null")


def _read_number(value: Any) -> int | float:
    found = _read_value(value)
    if isinstance(found, bool) or not isinstance(found, int | float) or not -1e15 <= found <= 1e15:
        raise PydanticCustomError("number", "expected a number from -1e15 to 1e15")
    return found


def _as_seeds(value: Any) -> Any:
    """Converts a number of seeds to a list of seeds: 3 becomes 0, 1, 2. Returns a list unchanged."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_SEEDS:
            raise PydanticCustomError("seeds", f"expected 1 to {MAX_SEEDS} seeds, or a list of seeds")
        return tuple(range(value))
    return value


def _read_values(value: Any) -> Any:
    """Reads the values of a setting that varies: a list of values, or a range with the keys `low` and `high`."""
    if isinstance(value, dict):
        try:
            return Range.model_validate(value)
        except ValidationError as error:
            raise PydanticCustomError("range", "{reason}", {"reason": _describe_range(error)}) from None
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_VALUES:
        raise PydanticCustomError(
            "values", f"expected a list of 1 to {MAX_VALUES} values, or a range with the keys low and high"
        )
    read = tuple(_read_value(one) for one in value)
    if len({repr(one) for one in read}) < len(read):
        raise PydanticCustomError("values", "the list contains a value twice")
    return read


def _describe_range(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key `{shorten(key)}` of a range; the keys are `low`, `high` and `log`"
    if first["type"] == "missing":
        return f"a range needs the key `{key}`"
    return f"`{key}`: {describe_reason(first)}" if key else describe_reason(first)


Number = Annotated[Any, BeforeValidator(_read_number)]
Setting = Annotated[Any, BeforeValidator(_read_value)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=MAX_TEXT)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=MAX_TEXT)], ...], Field(max_length=1000)]
Seeds = Annotated[
    tuple[Annotated[Int, Field(ge=0, le=MAX_SEED)], ...],
    BeforeValidator(_as_seeds),
    Field(min_length=1, max_length=MAX_SEEDS),
]


class Range(Section):
    """Range from which a random search draws values of a setting.

    Attributes:
        low, high: minimum and maximum. If both are whole numbers, only whole numbers are drawn.
        log: draw uniformly on a logarithmic scale.
    """

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.low >= self.high:
            raise ConflictError(f"low {self.low:g} is not less than high {self.high:g}")
        if self.log and self.low <= 0:
            raise ConflictError(f"low must be more than 0 if log is true, got {self.low:g}")
        return self


class SweepSpec(Section):
    """Content of a sweep file.

    Attributes:
        name: name of the sweep, which also begins the names of its models. Default: the name of the file.
        base: configuration that the trials change: path of a file, or name of a configuration of geojepa.
        set: dict of settings that replace those of `base` in all trials.
        method: `grid` tries every combination of the values. `random` draws values at random (random search).
        settings: dict from the key of each setting that varies, such as `train.lr`, to its values or its range.
        variants: trials by name, each a dict of the settings that differ from `base`. Replaces `settings`.
        trials: number of trials of a random search.
        seed: random seed of a random search.
        seeds: random seeds of the training runs. Every trial is trained once with each seed.
        regions: regions to train on. Default: the only region in the workspace.
        test_regions: regions to test on. Default: all regions that the models do not see in training. If there are
            none, the models are tested on the regions of training.
        folds: cross-validation folds of the tasks. For each fold, a model is trained without it and tested on it.
        tasks: tasks to test on. Default: all tasks that were built for the regions.
        masked: hide the tags and entities that reveal the label.
        heads: prediction heads of the probes.
        reference: trial with which the others are compared, given by its name or its settings. Default: the first.
    """

    name: Name | None = None
    base: str = Field(default="tiny.yaml", min_length=1, max_length=4096)
    set: dict[Key, Setting] = Field(default_factory=dict, max_length=MAX_SETTINGS)
    method: Literal["grid", "random"] = "grid"
    settings: dict[Key, Annotated[Any, BeforeValidator(_read_values)]] = Field(
        default_factory=dict, max_length=MAX_SETTINGS
    )
    variants: dict[Name, Annotated[dict[Key, Setting], Field(max_length=MAX_SETTINGS)]] = Field(
        default_factory=dict, max_length=MAX_TRIALS
    )
    trials: Annotated[Int, Field(ge=1, le=MAX_TRIALS)] | None = None
    seed: Int = Field(default=0, ge=0, le=MAX_SEED)
    seeds: Seeds = (0,)
    regions: Names = ()
    test_regions: Names = ()
    folds: Annotated[tuple[Annotated[Int, Field(ge=0, lt=MAX_FOLDS)], ...], Field(max_length=MAX_FOLDS)] = ()
    tasks: Names = ()
    masked: bool = False
    heads: Annotated[Names, Field(min_length=1)] = ("linear",)
    reference: str | dict[Key, Setting] | None = None

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        if bool(self.settings) == bool(self.variants):
            raise ConflictError("expected either `settings` with values, or `variants` with named trials")
        if self.variants and (self.trials is not None or self.method != "grid"):
            raise ConflictError("`method` and `trials` cannot be combined with `variants`")
        ranges = [key for key, values in self.settings.items() if isinstance(values, Range)]
        if self.settings and self.method == "grid":
            if ranges:
                raise ConflictError(f"`{ranges[0]}` is a range; a grid needs a list of values, or set `method: random`")
            if self.trials is not None:
                raise ConflictError("`trials` is the number of draws of `method: random`; a grid has all combinations")
        if self.method == "random" and self.trials is None:
            raise ConflictError("`method: random` needs `trials`, the number of draws")
        if self.folds and self.test_regions:
            raise ConflictError("`folds` are tested on the regions of training; remove `folds` or `test_regions`")
        for name in ("seeds", "folds", "tasks", "heads", "regions", "test_regions"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ConflictError(f"`{name}` contains a value twice")
        return self
