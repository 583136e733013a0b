"""Task definitions: the data model of the YAML files of tasks, and functions to find and read these files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geojepa_cli import hints
from geojepa_cli.config.numbers import Float
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.yaml import BoundedLoader, read_yaml
from geojepa_cli.errors import NotFoundError, UsageError, nearest, unknown
from geojepa_cli.hints import Hint

NAME = r"^[a-z][a-z0-9_]*$"
CORRECTED = "after the file is corrected"
MAX_TEXT = 255  # characters; the limit for keys and values in OpenStreetMap
MAX_RULES = 1000  # maximum length of a list of rules
REASONS = {
    "string_type": "expected text; quote numbers and dates",
    "string_pattern_mismatch": "expected lower-case letters, digits and `_`, beginning with a letter",
    "dict_type": "expected keys such as `kind: count`",
    "model_type": "expected keys such as `kind: count`",
    "tuple_type": "expected a list",
    "invalid_key": "a key must be text",
}
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


class LabelSpec(Strict):
    """Definition of a task's label, which is computed for each tile from the tags of the tile's entities.

    Attributes:
        kind: kind of label. `count`: number of matching entities. `any`: 1 if there is a matching entity, otherwise 0.
            `sum`: total area or length of the matching entities. `max`: maximum of the numbers in the values of the
            tags that match `tags`.
        tags: rules. An entity matches (counts for the label) if one of its tags matches one of these rules.
        where: further rules. If there are any, one of the entity's tags must also match one of these rules.
        read: only for kind `max`: format of the tag values: `speed_kmh` (values of `maxspeed`) or `number`.
        of: only for kind `sum`: quantity to add up: `area_m2` or `length_m`, measured on the ground.
        requires: rules. If no entity of a tile has a tag that matches one of these rules, the label of the tile is the
            number in `absent`.
        absent: label of tiles for which `requires` is not met.
        unit: unit of the label, for tables and plots.
        clamp: pair (minimum, maximum) to which predictions are limited. If one of the two is None, the minimum or
            maximum of the training labels is used instead.
    """

    kind: Literal["count", "any", "max", "sum"]
    tags: tuple[TagRule, ...] = Field(min_length=1, max_length=MAX_RULES)
    where: Rules = ()
    read: Literal["speed_kmh", "number"] | None = None
    of: Literal["area_m2", "length_m"] | None = None
    requires: Rules = ()
    absent: Label | None = None
    unit: Text = ""
    clamp: tuple[Label | None, Label | None] = (None, None)

    @model_validator(mode="after")
    def _complete(self) -> LabelSpec:
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
        signs: rules; a point with a tag that matches a rule in `tags` of the label is hidden completely if each of its
            other tags is hidden or matches one of these rules.
    """

    tags: Rules = ()
    entities: Rules = ()
    signs: Rules = ()


class TaskSpec(Strict):
    """A prediction task: a number to predict for each tile, and a mask that hides what reveals this number.

    See docs/adr/0004-tasks.md.

    Attributes:
        name: name of the task and of its artifacts, in lower case.
        title: title of the task in tables and plots.
        label: definition of the label.
        mask: tags and entities to hide.
        keep_zero: share of the tiles with label 0 to keep. The other tiles with label 0 are removed, which is called
            thinning. A seeded hash decides which tiles are removed.
    """

    name: str = Field(pattern=NAME, max_length=60)
    title: Text
    label: LabelSpec
    mask: MaskSpec = MaskSpec()
    keep_zero: Float = Field(default=1.0, gt=0.0, le=1.0)

    @property
    def binary(self) -> bool:
        """True if all labels are 0 or 1."""
        return self.label.kind == "any"

    def resolved(self) -> dict[str, Any]:
        """Returns the definition with all defaults as a dict for JSON. The ids of artifacts depend on this dict."""
        return self.model_dump(mode="json", by_alias=True)

    def to_yaml(self) -> str:
        """Returns the definition as YAML that `load_task` can read. The text includes all default values."""
        plain = self.resolved()
        for part, names in (("label", ("tags", "where", "requires")), ("mask", ("tags", "entities", "signs"))):
            for name in names:
                plain[part][name] = [rule.written() for rule in getattr(getattr(self, part), name)]
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def packed_tasks() -> dict[str, Path]:
    """Returns the paths of the task definitions that come with geojepa, as a dict by task name."""
    for folder in definition_folders():
        found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    searched = ", ".join(f"`{folder}`" for folder in definition_folders())
    raise NotFoundError(
        f"no task definitions in {searched}", hints.shell("pip", "install", "--force-reinstall", "geojepa")
    )


def find_task(name_or_file: str, option: str = "--task") -> TaskSpec:
    """Reads the definition of a task that comes with geojepa, or of a task in a YAML file.

    Args:
        name_or_file: name of a task that comes with geojepa, or path of a YAML file.
        option: command-line option that was used to give the task; the hints of errors use this option.

    Raises:
        NotFoundError: there is no such task or file. The message suggests the most similar name of a task.
        UsageError: the file is not a valid task definition.
    """
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml") or path.name != name_or_file:
        if not path.is_file():
            raise NotFoundError(
                f"task file `{name_or_file}` not found", hints.instead((option, name_or_file), (option, "max_speed"))
            )
        return load_task(path)
    tasks = packed_tasks()
    if name_or_file not in tasks:
        example = hints.instead((option, name_or_file), (option, "max_speed"))
        raise unknown("task", name_or_file, tasks, example.noting("or a YAML file"), option)
    return load_task(tasks[name_or_file])


def load_task(path: Path) -> TaskSpec:
    """Reads a task definition from a YAML file.

    Raises:
        UsageError: the file is not YAML, or has an unknown key or a wrong value. For an unknown key, the message
            suggests the most similar allowed key.
    """
    content = read_yaml(path, WordsLoader)
    if not isinstance(content, dict):
        raise UsageError(f"`{path}` is not a task definition: expected keys such as `name` and `label`", _corrected())
    try:
        return TaskSpec.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, error) from error


class WordsLoader(BoundedLoader):
    """YAML loader that reads `no` and `yes` as text (as in YAML 1.2), because they are values of OSM tags."""


WordsLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
WordsLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def definition_folders() -> Iterator[Path]:
    """Yields the folders that can contain the packed definitions: that of the wheel, and that of a source checkout."""
    yield Path(str(files("geojepa_cli.tasks"))) / "definitions"
    yield Path(__file__).resolve().parents[2] / "tasks"


def _corrected(keys: list[str] | None = None) -> Hint:
    """Returns a hint that tells the user to correct the task file, and then to repeat the failed command.

    Args:
        keys: allowed keys, which the hint lists. None: the hint lists no keys.
    """
    return hints.again().noting(CORRECTED if keys is None else f"{CORRECTED}; keys: {', '.join(keys)}")


def _invalid(path: Path, error: ValidationError) -> UsageError:
    """Returns an error for the first problem of an invalid file.

    If there are several problems, an unknown key is reported first. Otherwise, a mistyped key would be reported as
    a missing key.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    known = _keys_at(first["loc"][:-1])
    if first["type"] == "missing":
        return UsageError(f"`{path}` lacks the key `{where}`", _corrected(known))
    if first["type"] != "extra_forbidden":
        return UsageError(f"`{path}`: `{where or 'task'}`: {describe_reason(first, REASONS)}", _corrected())
    close = nearest(str(first["loc"][-1]), known)
    guess = f"; did you mean `{close}`?" if close else ""
    return UsageError(f"`{path}` has an unknown key `{shorten(where)}`{guess}", _corrected(known))


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that a task definition may have at a given position in its YAML."""
    names = [part for part in location if isinstance(part, str)]
    models: dict[str, type[BaseModel]] = {"label": LabelSpec, "mask": MaskSpec}
    model: type[BaseModel] = TaskSpec if not names else models.get(names[0], TaskSpec) if len(names) == 1 else TagRule
    return [field.alias or name for name, field in model.model_fields.items()]
