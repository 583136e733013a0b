"""Definitions of the tags that `review` checks: which entities, which tags, and which values are one class.

They are YAML files in the folder `review/` next to the definitions of tile tasks. A key without a definition is
reviewed too: each of its values is a class.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.numbers import Float
from geojepa_cli.config.reasons import describe_reason
from geojepa_cli.config.yaml import read_yaml
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.store import schema
from geojepa_cli.tasks.entity_spec import MAX_CLASSES, Kind
from geojepa_cli.tasks.label_spec import MAX_RULES, MAX_TEXT, Rules, Strict, TagRule, Text
from geojepa_cli.tasks.maxspeed import read_maxspeed
from geojepa_cli.tasks.spec import NAME, REASONS, WordsLoader, definition_folders

Key = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
EVERY_KIND: tuple[Kind, ...] = ("point", "line", "area", "relation")
FOLDER = "review"


class ReviewSpec(Strict):
    """A family of tags to review, such as the classes of roads.

    Attributes:
        name: name of the family, in lower case, or the reviewed key.
        title: title of the family in tables, such as `road class`.
        things: the entities in the plural, for reasons in words, such as `roads and paths`.
        keys: keys of the reviewed tags. An entity's present tag is that with the first of these keys. All of them are
            hidden from the model.
        kinds: kinds of geometry of the entities.
        where: rules that select entities. An entity is used if one of its tags matches one of the rules. Empty: all
            entities are used.
        ignore: rules; tags that match name no class.
        classes: dict from class to rules. A tag belongs to the first class that it matches. Every other tag is a class
            of its own, unless it matches `ignore`.
        read: `speed_kmh` if values are speed limits. Then the classes are the ranges in `bins`.
        bins: upper bounds of the ranges, in ascending order. The last range, above the last bound, has no upper bound.
        hide: rules; tags that match are hidden in addition to those of `keys`.
    """

    name: Text
    title: Text
    things: Text
    keys: tuple[Key, ...] = Field(min_length=1, max_length=MAX_CLASSES)
    kinds: tuple[Kind, ...] = Field(min_length=1, max_length=len(schema.KIND))
    where: Rules = ()
    ignore: Rules = ()
    classes: dict[Annotated[str, Field(pattern=NAME)], Rules] = Field(default={}, max_length=MAX_CLASSES)
    read: Literal["speed_kmh"] | None = None
    bins: Annotated[tuple[Float, ...], Field(max_length=MAX_RULES)] = ()
    hide: Rules = ()

    @cached_property
    def hidden(self) -> tuple[TagRule, ...]:
        """Rules for all hidden tags: those of the reviewed keys, and those in `hide`."""
        return (*(TagRule.model_validate({"key": key}) for key in self.keys), *self.hide)

    def speed_class(self, value: str) -> str | None:
        """Returns the range of a speed limit, such as `40 to 50 km/h`. None if the value is no limit."""
        limit = read_maxspeed(value).kmh
        if limit is None:
            return None
        # a limit in miles per hour is not a round number: 20 mph (32.2 km/h) must not count as over 30
        place = sum(limit > bound + 2.5 for bound in self.bins)
        if place == 0:
            return f"up to {self.bins[0]:g} km/h"
        if place == len(self.bins):
            return f"over {self.bins[-1]:g} km/h"
        return f"{self.bins[place - 1]:g} to {self.bins[place]:g} km/h"

    def resolved(self) -> dict[str, Any]:
        """Returns the definition with all defaults as a dict for JSON. Artifact ids are computed from this dict."""
        return self.model_dump(mode="json", by_alias=True)


def packed_reviews() -> dict[str, ReviewSpec]:
    """Returns the definitions that come with geojepa, by name.

    Raises:
        NotFoundError: the package lacks them.
        DataError: a definition is damaged.
    """
    for folder in definition_folders():
        paths = sorted((folder / FOLDER).glob("*.yaml"))
        if paths:
            return {path.stem: _load(path) for path in paths}
    searched = ", ".join(f"`{folder / FOLDER}`" for folder in definition_folders())
    raise NotFoundError(f"no definitions of reviews in {searched}", _reinstall())


def generic_review(key: str) -> ReviewSpec:
    """Returns the definition for a key that has none: each value is a class."""
    return ReviewSpec.model_validate(
        {
            "name": key,
            "title": key,
            "things": f"entities with {key}=*",
            "keys": [key],
            "kinds": EVERY_KIND,
            "ignore": [{"key": key, "values": ["yes", "no", "fixme", "*;*"]}],
            "hide": [{"key": f"{key}:*"}, {"key": f"*:{key}"}],
        }
    )


def _load(path: Path) -> ReviewSpec:
    try:
        return ReviewSpec.model_validate(read_yaml(path, WordsLoader))
    except ValidationError as error:
        first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    raise DataError(f"`{path}`: `{where or 'review'}`: {describe_reason(first, REASONS)}", _reinstall())


def _reinstall() -> hints.Hint:
    return hints.shell("pip", "install", "--force-reinstall", "geojepa")
