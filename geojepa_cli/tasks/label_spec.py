"""Data model of the labels and masks in task definitions: rules for tags, and the label that they define."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geojepa_cli.config.numbers import Float
from geojepa_cli.config.reasons import shorten

MAX_TEXT = 255  # characters; the limit for keys and values in OpenStreetMap
MAX_RULES = 1000  # maximum length of a list of rules
MAX_LABEL = 1e30  # labels are float32
Label = Annotated[Float, Field(ge=-MAX_LABEL, le=MAX_LABEL)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class TagRule(Strict):
    """A rule that matches tags by key and value.

    `*` in a key or value stands for any text. The short form `bridge` means `bridge=*`.

    Attributes:
        key: key or pattern that the key of a tag must match.
        values: values or patterns; the value of a tag must match one of them.
        excluded: values or patterns; a tag whose value matches one of them never matches the rule. The YAML key is
            `except`.
    """

    key: str = Field(min_length=1, max_length=MAX_TEXT)
    values: tuple[Text, ...] = Field(default=("*",), min_length=1, max_length=MAX_RULES)
    excluded: tuple[Text, ...] = Field(default=(), alias="except", max_length=MAX_RULES)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str):
            raise ValueError(
                f"a rule is `key=value`, a bare `key`, or {{key: ..., values: [...]}}, got `{shorten(str(value))}`"
            )
        key, equals, pattern = value.partition("=")
        return {"key": key, "values": [pattern]} if equals else {"key": key}

    def written(self) -> str | dict[str, Any]:
        """Returns the rule as written in YAML: text `key=value` if possible, otherwise a mapping."""
        if "=" in self.key or self.excluded or len(self.values) > 1:
            return self.model_dump(mode="json", by_alias=True)
        return self.key if self.values == ("*",) else f"{self.key}={self.values[0]}"

    def __str__(self) -> str:
        text = " or ".join(f"{self.key}={value}" for value in self.values)
        return f"{text} but {', '.join(self.excluded)}" if self.excluded else text


Rules = Annotated[tuple[TagRule, ...], Field(max_length=MAX_RULES)]


class FileLabels(Strict):
    """Labels from a file, which `build-tasks --labels` reads.

    Attributes:
        sha256: SHA-256 checksum of the file.
        column: column with the values.
        reduce: method that reduces several values in a tile to one label; None if the rows of the file are tiles.
        crs: coordinate reference system given by `--crs`; None if the option was not used.
        binary: True if all labels are 0 or 1.
        bins: upper bounds of the bins of histograms of the labels.
    """

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    column: str
    reduce: Literal["mean", "sum", "max", "nearest"] | None = None
    crs: Text | None = None
    binary: bool = False
    bins: tuple[Label, ...] = Field(min_length=1, max_length=MAX_RULES)


class LabelSpec(Strict):
    """Definition of a task's label, which is computed for each tile from the tags of the tile's entities.

    Attributes:
        kind: kind of label. `count`: number of matching entities. `any`: 1 if there is a matching entity, otherwise 0.
            `sum`: total area or length of the matching entities. `max`: maximum of the numbers in the values of the
            tags that match `tags`. `file`: values from a file, see `file`.
        tags: rules; empty for kind `file`. An entity matches (counts for the label) if one of its tags matches one of
            these rules.
        where: further rules. If there are any, one of the entity's tags must also match one of these rules.
        read: only for kind `max`: format of the tag values: `speed_kmh` (values of `maxspeed`) or `number`.
        of: only for kind `sum`: quantity to add up: `area_m2` or `length_m`, measured on the ground.
        requires: rules. If no entity of a tile has a tag that matches one of these rules, the label of the tile is the
            number in `absent`.
        absent: label of tiles for which `requires` is not met.
        unit: unit of the label, for tables and plots.
        clamp: pair (minimum, maximum) to which predictions are limited. If one of the two is None, the minimum or
            maximum of the training labels is used instead.
        file: only for kind `file`: the file with the labels.
    """

    kind: Literal["count", "any", "max", "sum", "file"]
    tags: Rules
    where: Rules = ()
    read: Literal["speed_kmh", "number"] | None = None
    of: Literal["area_m2", "length_m"] | None = None
    requires: Rules = ()
    absent: Label | None = None
    unit: Text = ""
    clamp: tuple[Label | None, Label | None] = (None, None)
    file: FileLabels | None = None

    @model_validator(mode="after")
    def _complete(self) -> LabelSpec:
        if (self.kind == "file") != (self.file is not None):
            raise ValueError("kind `file` requires `file`, and no other kind accepts it")
        if (self.kind == "file") == bool(self.tags):
            raise ValueError("`label.tags` must have at least one rule, or none for kind `file`")
        if (self.kind == "max") != (self.read is not None):
            raise ValueError("kind `max` requires `read`, and no other kind accepts it")
        if (self.kind == "sum") != (self.of is not None):
            raise ValueError("kind `sum` requires `of`, and no other kind accepts it")
        if bool(self.requires) != (self.absent is not None):
            raise ValueError("`requires` and `absent` must be given together")
        low, high = self.clamp
        if low is not None and high is not None and low > high:
            raise ValueError(f"the minimum of `clamp`, {low:g}, is above its maximum, {high:g}")
        return self


class MaskSpec(Strict):
    """Tags and entities that are hidden because they reveal the label, in addition to the tags of the label.

    Attributes:
        tags: rules; tags that match are hidden on every entity.
        entities: rules; entities with a tag that matches are hidden completely.
        signs: rules for points that count for the label (one of their tags matches `tags` of the label). Such a point
            is hidden completely if each of its other tags is hidden or matches one of these rules.
    """

    tags: Rules = ()
    entities: Rules = ()
    signs: Rules = ()
