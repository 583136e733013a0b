"""Definitions of entity tasks, in which a model must predict the class of an entity.

The class is the value of a tag that is hidden from the model. The definitions are YAML files in the folder `entity/`
next to the definitions of tile tasks.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from geojepa_cli.config.numbers import Float
from geojepa_cli.store import schema
from geojepa_cli.tasks.definition_file import load_definition, packed_definitions
from geojepa_cli.tasks.label_spec import MAX_RULES, MAX_TEXT, Rules, Strict, TagRule, Text
from geojepa_cli.tasks.maxspeed import read_maxspeed
from geojepa_cli.tasks.rules import Matcher
from geojepa_cli.tasks.spec import NAME, definition_path

MAX_CLASSES = 100
Kind = Literal["point", "line", "area", "relation"]
Values = Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_RULES)]


class EntitySpec(Strict):
    """An entity task: the class of an entity, and the tags that are hidden because they give the class away.

    Attributes:
        name: name of the task, in lower case.
        title: title of the task in tables and plots.
        key: key of the tag whose value gives the class. It is always hidden from the models.
        kinds: kinds of geometry of the entities: `point`, `line`, `area` or `relation`.
        where: rules that select entities. An entity is used if one of its tags matches one of the rules. Empty: all
            entities are used.
        classes: dict from class to values or patterns of the tag. A value belongs to the first class that it matches.
            An entity whose value matches no class is not used. Empty: every value is a class, except those in `ignore`.
        ignore: values or patterns that name no class. Cannot be combined with `classes`.
        read: `speed_kmh` if values are speed limits. Then the classes are the ranges in `bins`. None: values are texts.
        bins: upper bounds of the ranges, in ascending order. The last range, above the last bound, has no upper bound.
        hide: rules; tags that match are hidden in addition to the tag of `key`.
        min_examples: number of training examples that a class needs. Rarer classes are left out.
    """

    name: str = Field(pattern=NAME, max_length=60)
    title: Text
    key: str = Field(min_length=1, max_length=MAX_TEXT)
    kinds: tuple[Kind, ...] = Field(min_length=1, max_length=len(schema.KIND))
    where: Rules = ()
    classes: dict[Text, Values] = Field(default={}, max_length=MAX_CLASSES)
    ignore: Annotated[tuple[Text, ...], Field(max_length=MAX_RULES)] = ()
    read: Literal["speed_kmh"] | None = None
    bins: Annotated[tuple[Float, ...], Field(max_length=MAX_CLASSES)] = ()
    hide: Rules = ()
    min_examples: int = Field(default=50, ge=2, le=1_000_000, strict=True)

    @field_validator("key")
    @classmethod
    def _one_key(cls, key: str) -> str:
        if "*" in key or "=" in key:
            raise ValueError("expected one key of OpenStreetMap, without `*` and `=`")
        return key

    @model_validator(mode="after")
    def _complete(self) -> EntitySpec:
        if (self.read is not None) != bool(self.bins):
            raise ValueError("`read` and `bins` must be given together")
        if sum(map(bool, (self.classes, self.ignore, self.bins))) > 1:
            raise ValueError("only one of `classes`, `ignore` and `bins` can be given")
        if list(self.bins) != sorted(set(self.bins)):
            raise ValueError("`bins` must ascend")
        return self

    @property
    def hidden(self) -> tuple[TagRule, ...]:
        """Rules for all hidden tags: one for the key of the task, and those in `hide`."""
        return (TagRule(key=self.key), *self.hide)

    @property
    def class_order(self) -> tuple[str, ...]:
        """Names of the classes in the order of the definition. Empty if every value is a class."""
        return tuple(self.classes) or self._bin_names

    def class_of(self, value: str) -> str | None:
        """Returns the class that a value of the tag names. None if it names no class."""
        if self.read is not None:
            limit = read_maxspeed(value).kmh
            return None if limit is None else self._bin(limit)
        if self.classes:
            return next((name for name, matcher in self._matchers.items() if matcher(value)), None)
        return None if self._ignored(value) else value

    def resolved(self) -> dict[str, Any]:
        """Returns the definition with all defaults as a dict for JSON. Artifact ids are computed from this dict."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def _bin_names(self) -> tuple[str, ...]:
        return tuple(f"up to {bound:g}" for bound in self.bins) + tuple(f"over {bound:g}" for bound in self.bins[-1:])

    def _bin(self, number: float) -> str:
        # a limit in miles per hour is not a round number: 20 mph (32.2 km/h) must not count as over 30
        return self._bin_names[sum(number > bound + 2.5 for bound in self.bins)]

    @cached_property
    def _matchers(self) -> dict[str, Matcher]:
        return {name: Matcher(values) for name, values in self.classes.items()}

    @cached_property
    def _ignored(self) -> Matcher:
        return Matcher(self.ignore)


def packed_entity_tasks() -> dict[str, Path]:
    """Returns the paths of the entity tasks that come with geojepa, as a dict by name of the task."""
    return packed_definitions("entity", "entity tasks")


def find_entity_task(name_or_file: str) -> EntitySpec:
    """Reads the definition of an entity task.

    Args:
        name_or_file: name of an entity task that comes with geojepa, or path of a YAML file.

    Raises:
        NotFoundError: there is no such task or file. The message suggests the most similar name of a task.
        UsageError: the file is not a valid definition.
    """
    packed = packed_entity_tasks
    return load_entity_task(definition_path(name_or_file, packed, "entity task", "task file `{}`", "building_class"))


def load_entity_task(path: Path) -> EntitySpec:
    """Reads the definition of an entity task from a YAML file.

    Raises:
        UsageError: the file is not YAML, or has an unknown key or a wrong value. For an unknown key, the message
            suggests the most similar allowed key.
    """
    return load_definition(path, EntitySpec, "an entity task", "key")
