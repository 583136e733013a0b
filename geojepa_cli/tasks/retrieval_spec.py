"""Definitions of map features for retrieval, such as a tile with a marina.

A search for a tile with a feature should find other tiles with it. The definitions are YAML files in the folder
`retrieval/` next to the definitions of tile tasks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from geojepa_cli.config.numbers import Float
from geojepa_cli.tasks.definition_file import load_definition, packed_definitions
from geojepa_cli.tasks.label_spec import MAX_RULES, LabelSpec, MaskSpec, Rules, Strict, TagRule, Text
from geojepa_cli.tasks.spec import NAME, TaskSpec, definition_path

MAX_PARTS = 10
EXAMPLE = "cemetery"


class FeaturePart(Strict):
    """One thing that a tile with the feature must have.

    Attributes:
        tags: rules. An entity belongs to the part if one of its tags matches one of them.
        share: minimum share of the tile's area that these entities must cover, above 0. None: one entity is enough.
    """

    tags: Annotated[tuple[TagRule, ...], Field(min_length=1, max_length=MAX_RULES)]
    share: Annotated[Float, Field(gt=0.0, le=1.0)] | None = None


class RetrievalSpec(Strict):
    """A map feature that tags define, and what is hidden because it gives the feature away.

    Attributes:
        name: name of the feature, in lower case.
        title: title of the feature in tables.
        has: parts of the feature. A tile has the feature if it has all of them.
        hide: rules; entities with a tag that matches are hidden completely, in addition to the entities of `has`.
        hide_tags: rules; tags that match are hidden on all other entities.
    """

    name: str = Field(pattern=NAME, max_length=60)
    title: Text
    has: Annotated[tuple[FeaturePart, ...], Field(min_length=1, max_length=MAX_PARTS)]
    hide: Rules = ()
    hide_tags: Rules = ()

    @property
    def defining(self) -> tuple[TagRule, ...]:
        """All rules in `has`."""
        return tuple(rule for part in self.has for rule in part.tags)

    def as_task(self) -> TaskSpec:
        """Returns a tile task with the mask of this feature: entities of `has` and `hide` are hidden completely."""
        mask = MaskSpec(entities=(*self.defining, *self.hide), tags=self.hide_tags)
        label = LabelSpec(kind="any", tags=self.defining)
        return TaskSpec(name=self.name, title=self.title, label=label, mask=mask)

    def resolved(self) -> dict[str, Any]:
        """Returns the definition with all defaults as a dict for JSON. Artifact ids are computed from this dict."""
        return self.model_dump(mode="json", by_alias=True)


def packed_features() -> dict[str, Path]:
    """Returns the paths of the definitions of features that come with geojepa, as a dict by name of the feature."""
    return packed_definitions("retrieval", "map features")


def find_feature(name_or_file: str) -> RetrievalSpec:
    """Reads the definition of a feature.

    Args:
        name_or_file: name of a feature that comes with geojepa, or path of a YAML file.

    Raises:
        NotFoundError: there is no such feature or file. The message suggests the most similar name.
        UsageError: the file is not a valid definition.
    """
    file = "file `{}` with a map feature"
    return load_feature(definition_path(name_or_file, packed_features, "map feature", file, EXAMPLE))


def load_feature(path: Path) -> RetrievalSpec:
    """Reads the definition of a feature from a YAML file.

    Raises:
        UsageError: the file is not YAML, or has an unknown key or a wrong value. For an unknown key, the message
            suggests the most similar allowed key.
    """
    return load_definition(path, RetrievalSpec, "a map feature", "has")
