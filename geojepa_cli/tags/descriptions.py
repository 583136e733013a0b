"""Describes OSM tags as text, as input for a text encoder. Descriptions come from the id-tagging-schema."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

DATA = "descriptions.json"
RARE = 2  # the value of a tag on fewer OSM elements is left out of the text, unless the schema describes the tag
LONGEST_VALUE = 60  # maximum number of characters of a value that is part of the text

# Keys whose values are names, identifiers, dates or free text: thousands of values, each on a few OSM elements.
# The data file lists such keys of the schema (`free`). This expression matches keys that the schema does not list.
_FREE_KEY = re.compile(
    r"(addr|contact|post|name|alt_name|old_name|official_name|short_name|ref|destination|opening_hours|description"
    r"|wikipedia|wikidata|note|source|seamark|tiger|gnis|is_in|url|image|operator|brand|network|species|taxon|genus)"
    r"([:_].*)?|.*[:_](name|ref|id|wikidata|wikipedia|wikimedia_commons|website|url|phone|date|hours)(:.*)?"
    r"|(int|loc|nat|reg|sorting)_name|start_date|end_date|ele|phone|fax|email|website|inscription|artist_name"
)
_NUMBER = re.compile(r"[-+]?(\d+)([.,]\d+)?\s*[a-zA-Z'\"°%/²³]*")
_NUMBERS_WITH_MEANING = ("maxspeed", "minspeed", "voltage", "gauge", "frequency")  # numbers with few distinct values


class Source(IntEnum):
    """Type of the text that describes a tag.

    Attributes:
        DESCRIBED: the text contains words from the id-tagging-schema.
        PLAIN: the text is `key=value`.
        KEY: the text describes the key, without the value.
    """

    DESCRIBED = 0
    PLAIN = 1
    KEY = 2


class TagText(NamedTuple):
    """Text that describes a tag, and the type of this text."""

    text: str
    source: Source


class Descriptions(NamedTuple):
    """Names and descriptions of tags from the id-tagging-schema, the tag presets of the OSM editor iD.

    Attributes:
        version: name and version of the schema.
        free: keys whose values are names, identifiers, addresses, dates or free text.
        keys: key -> name of the key in words.
        tags: `key=value` -> description of the tag: the names and the search terms that iD has for this tag.
    """

    version: str
    free: frozenset[str]
    keys: dict[str, str]
    tags: dict[str, str]


@lru_cache(maxsize=1)
def load_descriptions() -> Descriptions:
    """Reads the names and descriptions of tags from a data file that comes with geojepa.

    The file is written by `tools/update_tag_descriptions.py`.
    """
    data = json.loads(resources.files("geojepa_cli.tags").joinpath(DATA).read_text(encoding="utf-8"))
    return Descriptions(data["schema"], frozenset(data["free"]), data["keys"], data["tags"])


def describe(key: str, value: str, count: int = RARE) -> TagText:
    """Describes a tag as text. The first rule that applies is used.

    1. If the id-tagging-schema describes the tag, the text is `key=value: description`.
    2. If only one OSM element has the tag (`count` is 1), or the value is a name, an identifier, an address, a date, a
       measurement (such as `3.5 m`) or a long text, the value is left out. The text is `key: name of the key`, or `key`
       if the schema has no name for the key.
    3. If the schema has a name for the key, the text is `key=value: name of the key: value`.
    4. Otherwise, the text is `key=value`.

    Args:
        key: key of the tag.
        value: value of the tag.
        count: number of OSM elements with this tag.
    """
    known = load_descriptions()
    tag = f"{key}={value}"
    meaning = _meaning(key, value)
    if meaning:
        return TagText(f"{tag}: {meaning}", Source.DESCRIBED)
    if count < RARE or is_free(key, value):
        return describe_key(key)
    label = known.keys.get(key)
    if label:
        return TagText(f"{tag}: {_worded(label, value)}", Source.DESCRIBED)
    return TagText(tag, Source.PLAIN)


def describe_key(key: str) -> TagText:
    """Describes the key of a tag as text: `key: name of the key`, or `key` if the schema has no name for the key."""
    label = load_descriptions().keys.get(key)
    return TagText(f"{key}: {label}" if label else key, Source.KEY)


def is_free(key: str, value: str) -> bool:
    """Returns True if the value of a tag is a name, an identifier, an address, a date, a measurement or a long text.

    Returns False if the value is a class, such as `residential` in `highway=residential`.
    """
    if is_free_key(key) or len(value) > LONGEST_VALUE:
        return True
    number = _NUMBER.fullmatch(value)
    if number is None or key.startswith(_NUMBERS_WITH_MEANING):
        return False
    return len(number[1]) > 2 or number[2] is not None  # `lanes=4` is a class, `height=13.5` and `ele=1200` are not


def is_free_key(key: str) -> bool:
    """Returns True if the values of a key are names, identifiers, addresses, dates or free text, not classes."""
    return key in load_descriptions().free or _FREE_KEY.fullmatch(key) is not None


def _worded(label: str, value: str) -> str:
    """Combines the name of a key with a value that the schema does not describe: `name of the key: value`.

    The values `yes` and `no` become `present` and `absent`, because text embeddings of `yes` and `no` are too similar.

    Args:
        label: name of the key in words.
        value: value of the tag.
    """
    wording = {"yes": f"present: {label}", "no": f"absent: {label}"}
    return wording.get(value, f"{label}: {value.replace('_', ' ')}")


def _meaning(key: str, value: str) -> str | None:
    """Returns the description of a tag in the schema, or None if the schema does not describe the tag.

    A value can be a list of values, such as `a;b`. Then the descriptions of all values are joined by `and`.
    """
    tags = load_descriptions().tags
    found = tags.get(f"{key}={value}")
    if found is None and ";" in value and len(value) <= LONGEST_VALUE:
        parts = [tags.get(f"{key}={part.strip()}") for part in value.split(";")]
        if all(parts):
            return " and ".join(part for part in parts if part)
    return found
