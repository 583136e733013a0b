"""Texts of OSM tags for a text encoder. They use the descriptions of the id-tagging-schema, if it has the tag."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

DATA = "descriptions.json"
RARE = 2  # a tag on fewer objects gets the text of its key, unless the schema describes the tag
LONGEST_VALUE = 60

# Keys whose values are names, identifiers, dates or free text: thousands of values, each on a few objects.
# The schema lists some of these keys (`free` in the data file). This expression matches similar keys.
_FREE_KEY = re.compile(
    r"(addr|contact|post|name|alt_name|old_name|official_name|short_name|ref|destination|opening_hours|description"
    r"|wikipedia|wikidata|note|source|seamark|tiger|gnis|is_in|url|image|operator|brand|network|species|taxon|genus)"
    r"([:_].*)?|.*[:_](name|ref|id|wikidata|wikipedia|wikimedia_commons|website|url|phone|date|hours)(:.*)?"
    r"|(int|loc|nat|reg|sorting)_name|start_date|end_date|ele|phone|fax|email|website|inscription|artist_name"
)
_NUMBER = re.compile(r"[-+]?(\d+)([.,]\d+)?\s*[a-zA-Z'\"°%/²³]*")
_NUMBERS_WITH_MEANING = ("maxspeed", "minspeed", "voltage", "gauge", "frequency")  # few distinct values


class Source(IntEnum):
    """Origin of the text of a tag: described by the schema, plain `key=value`, or the text of the key alone."""

    DESCRIBED = 0
    PLAIN = 1
    KEY = 2


class TagText(NamedTuple):
    """Text of a tag and its origin."""

    text: str
    source: Source


class Descriptions(NamedTuple):
    """Excerpt of the id-tagging-schema.

    Attributes:
        version: name and version of the schema.
        free: keys whose values are names, identifiers, addresses, dates or free text.
        keys: label of each key.
        tags: description of each `key=value`: name, search terms and option titles.
    """

    version: str
    free: frozenset[str]
    keys: dict[str, str]
    tags: dict[str, str]


@lru_cache(maxsize=1)
def load_descriptions() -> Descriptions:
    """Reads the excerpt of the schema. tools/update_tag_descriptions.py writes its file."""
    data = json.loads(resources.files("geojepa_cli.tags").joinpath(DATA).read_text(encoding="utf-8"))
    return Descriptions(data["schema"], frozenset(data["free"]), data["keys"], data["tags"])


def describe(key: str, value: str, count: int = RARE) -> TagText:
    """Returns the text of a tag for the text encoder.

    A tag that the schema describes gets `key=value: description`. A tag that occurs only once, or whose value is a
    name, an address, an identifier, a measure or a long text, gets the text of its key. Any other tag gets
    `key=value: label: value` if the schema has the key, otherwise `key=value`.

    Args:
        key: key of the tag.
        value: value of the tag.
        count: number of objects with this tag.
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
    """Returns the text of a key, for tags that have no text of their value."""
    label = load_descriptions().keys.get(key)
    return TagText(f"{key}: {label}" if label else key, Source.KEY)


def is_free(key: str, value: str) -> bool:
    """Returns True if the value is a name, an identifier, an address, a date, a measure or a long text.

    Other values, such as `residential`, are classes.
    """
    if key in load_descriptions().free or _FREE_KEY.fullmatch(key) or len(value) > LONGEST_VALUE:
        return True
    number = _NUMBER.fullmatch(value)
    if number is None or key.startswith(_NUMBERS_WITH_MEANING):
        return False
    return len(number[1]) > 2 or number[2] is not None  # `lanes=4` is a class, `height=13.5` and `ele=1200` are not


def _worded(label: str, value: str) -> str:
    """Returns the text of a value that has no description, of a key that has a label.

    `yes` and `no` are spelled out, because a text encoder hardly separates the bare words.
    """
    wording = {"yes": f"present: {label}", "no": f"absent: {label}"}
    return wording.get(value, f"{label}: {value.replace('_', ' ')}")


def _meaning(key: str, value: str) -> str | None:
    """Returns the schema's description of a tag; None if there is none.

    A list value `a;b` gets the joined descriptions of its parts, if the schema describes all of them.
    """
    tags = load_descriptions().tags
    found = tags.get(f"{key}={value}")
    if found is None and ";" in value and len(value) <= LONGEST_VALUE:
        parts = [tags.get(f"{key}={part.strip()}") for part in value.split(";")]
        if all(parts):
            return " and ".join(part for part in parts if part)
    return found
