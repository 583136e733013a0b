"""What a task is: the typed form of `tasks/*.yaml`, and how a task is found by name or file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from geojepa_cli.config.schema import UniqueKeys
from geojepa_cli.errors import NotFoundError, UsageError, nearest, not_yaml, unknown

_NAME = r"^[a-z][a-z0-9_]*$"
MEND = "mend the file and run the same command again"
_SAID = {
    "string_type": "expected a text; quote numbers and dates",
    "string_pattern_mismatch": "expected lower-case letters, digits and `_`, beginning with a letter",
    "dict_type": "expected keys such as `kind: count`",
    "model_type": "expected keys such as `kind: count`",
    "tuple_type": "expected a list",
    "invalid_key": "a key must be a text",
}
MAX_LABEL = 1e30  # labels are float32
Figure = Annotated[float, Field(ge=-MAX_LABEL, le=MAX_LABEL)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class TagRule(_Strict):
    """Tags by key and value; `*` in either stands for any text, `"bridge"` for `bridge=*`.

    Attributes:
        key: a key, or a pattern of keys.
        values: values or patterns; one of them must match.
        excluded: values (or patterns) that do not count all the same; `except` in YAML.
    """

    key: str = Field(min_length=1)
    values: tuple[str, ...] = Field(default=("*",), min_length=1)
    excluded: tuple[str, ...] = Field(default=(), alias="except")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"a rule is `key=value`, a bare `key`, or {{key: ..., values: [...]}}, got `{value}`")
        key, equals, pattern = value.partition("=")
        return {"key": key, "values": [pattern]} if equals else {"key": key}

    def written(self) -> str | dict[str, Any]:
        """The rule as text where that says it all, else with its keys."""
        if "=" in self.key or self.excluded or len(self.values) > 1:
            return self.model_dump(mode="json", by_alias=True)
        return self.key if self.values == ("*",) else f"{self.key}={self.values[0]}"

    def __str__(self) -> str:
        text = " or ".join(f"{self.key}={value}" for value in self.values)
        return f"{text} but {', '.join(self.excluded)}" if self.excluded else text


class LabelSpec(_Strict):
    """How the tokens of a tile become one number.

    Attributes:
        kind: `count` of the entities with a matching tag, `any` (1 or 0), `max` of what `read` makes of the tags'
            values, `sum` of the entities' ground measure `of`.
        tags: an entity counts when one of its tags matches one of these.
        where: and, where this is given, another of its tags one of these.
        read: for `max`: how a value becomes a number.
        of: for `sum`: the measure.
        requires: a tile without any entity that matches one of these gets `absent`.
        absent: the label of such a tile.
        unit: of the label.
        clamp: range of predictions; None at either end stands for the range of the training labels.
    """

    kind: Literal["count", "any", "max", "sum"]
    tags: tuple[TagRule, ...] = Field(min_length=1)
    where: tuple[TagRule, ...] = ()
    read: Literal["speed_kmh", "number"] | None = None
    of: Literal["area_m2", "length_m"] | None = None
    requires: tuple[TagRule, ...] = ()
    absent: Figure | None = None
    unit: str = ""
    clamp: tuple[Figure | None, Figure | None] = (None, None)

    @model_validator(mode="after")
    def _complete(self) -> LabelSpec:
        if (self.kind == "max") != (self.read is not None):
            raise ValueError("`read` belongs to kind `max`, and `max` needs it")
        if (self.kind == "sum") != (self.of is not None):
            raise ValueError("`of` belongs to kind `sum`, and `sum` needs it")
        if bool(self.requires) != (self.absent is not None):
            raise ValueError("`requires` and `absent` belong together")
        low, high = self.clamp
        if low is not None and high is not None and low > high:
            raise ValueError(f"`clamp` goes from {low:g} down to {high:g}")
        return self


class MaskSpec(_Strict):
    """What the masked variant leaves out, beside the counted tags themselves (whatever their value).

    Attributes:
        tags: further tags, taken from every entity.
        entities: entities with such a tag go whole.
        signs: a single point with a counted tag goes whole where all its other tags match one of these.
    """

    tags: tuple[TagRule, ...] = ()
    entities: tuple[TagRule, ...] = ()
    signs: tuple[TagRule, ...] = ()


class TaskSpec(_Strict):
    """A regression target per tile, with its masked variant; see docs/adr/0004-tasks.md.

    Attributes:
        name: lower case, also the name of its artifacts.
        title: for tables and pages.
        keep_zero: share of the tiles with label 0 that are kept (by a seeded hash of the tile's name).
    """

    name: str = Field(pattern=_NAME, max_length=60)
    title: str
    label: LabelSpec
    mask: MaskSpec = MaskSpec()
    keep_zero: float = Field(default=1.0, gt=0.0, le=1.0)

    @property
    def binary(self) -> bool:
        """Whether labels are 0 or 1 only."""
        return self.label.kind == "any"

    def resolved(self) -> dict[str, Any]:
        """The whole spec as plain values with every default written out: part of the artifact's id."""
        return self.model_dump(mode="json", by_alias=True)

    def to_yaml(self) -> str:
        """`resolved()` as YAML that `load_task` reads back; rules as short as a person writes them."""
        plain = self.resolved()
        for part, names in (("label", ("tags", "where", "requires")), ("mask", ("tags", "entities", "signs"))):
            for name in names:
                plain[part][name] = [rule.written() for rule in getattr(getattr(self, part), name)]
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def packed_tasks() -> dict[str, Path]:
    """Name -> file of the tasks that come with the package (or lie in the repository's `tasks/`)."""
    for folder in _folders():
        found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    searched = ", ".join(f"`{folder}`" for folder in _folders())
    raise NotFoundError(f"no task definitions in {searched}", hint="pip install --force-reinstall geojepa")


def find_task(name_or_file: str) -> TaskSpec:
    """The packed task of a name, or the task of any YAML file.

    Raises:
        NotFoundError: neither a packed task nor a file; says the nearest name.
        UsageError: the file is not a valid task.
    """
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml") or path.name != name_or_file:
        if not path.is_file():
            raise NotFoundError(f"no file `{name_or_file}`", hint="geojepa build-tasks --task max_speed")
        return load_task(path)
    tasks = packed_tasks()
    if name_or_file not in tasks:
        raise unknown("task", name_or_file, tasks, hint="geojepa build-tasks --task max_speed, or a YAML file")
    return load_task(tasks[name_or_file])


def load_task(path: Path) -> TaskSpec:
    """Reads one task definition.

    Raises:
        UsageError: not YAML, an unknown key (names the nearest one), or a wrong value.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_WordsLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise not_yaml(str(path), error) from error
    if not isinstance(content, dict):
        raise UsageError(f"`{path}` is not a task: expected keys such as `name` and `label`", MEND)
    try:
        return TaskSpec.model_validate(content)
    except ValidationError as error:
        raise UsageError(*_told(path, error)) from error


class _WordsLoader(UniqueKeys):
    """YAML 1.2's idea of a boolean: `no` and `yes` are OSM values, not truth values."""


_WordsLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_WordsLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def _folders() -> Iterator[Path]:
    yield Path(str(files("geojepa_cli.tasks"))) / "definitions"
    yield Path(__file__).resolve().parents[2] / "tasks"


def _told(path: Path, error: ValidationError) -> tuple[str, str | None]:
    """The first thing wrong, in this project's words; unknown keys first, as a mistyped key is also a missing one."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    known = _keys_at(first["loc"][:-1])
    if first["type"] == "missing":
        return f"`{path}` lacks `{where}`", f"keys: {', '.join(known)}"
    if first["type"] != "extra_forbidden":
        return f"`{path}`: `{where or 'task'}`: {_reason(first)}", MEND
    close = nearest(str(first["loc"][-1]), known)
    guess = f"; did you mean `{close}`?" if close else ""
    return f"`{path}` has an unknown key `{where}`{guess}", f"keys: {', '.join(known)}"


def _reason(found: ErrorDetails) -> str:
    """What is wrong with a value, without pydantic's names of types."""
    said = _SAID.get(found["type"])
    reason = found["msg"].removeprefix("Value error, ")
    got = found["input"]
    shown = f", got `{got}`" if isinstance(got, str | int | float) and found["type"] != "value_error" else ""
    return (said or reason[:1].lower() + reason[1:]) + shown


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at a place of the document."""
    names = [part for part in location if isinstance(part, str)]
    models: dict[str, type[BaseModel]] = {"label": LabelSpec, "mask": MaskSpec}
    model: type[BaseModel] = TaskSpec if not names else models.get(names[0], TaskSpec) if len(names) == 1 else TagRule
    return [field.alias or name for name, field in model.model_fields.items()]
