"""Texts of tags for a text encoder, from the OSM tagging schema where it has the tag."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

DATA = "descriptions.json"
RARE = 2  # a pair on fewer objects that the schema does not have falls back to its key
LONGEST_VALUE = 60

# Keys whose values are names, identifiers, dates or free text: thousands of values, each on a few objects.
# The schema lists such keys among its fields (`free` in the data file); these are similar keys that it does not list.
_FREE_KEY = re.compile(
    r"(addr|contact|post|name|alt_name|old_name|official_name|short_name|ref|destination|opening_hours|description"
    r"|wikipedia|wikidata|note|source|seamark|tiger|gnis|is_in|url|image|operator|brand|network|species|taxon|genus)"
    r"([:_].*)?|.*[:_](name|ref|id|wikidata|wikipedia|wikimedia_commons|website|url|phone|date|hours)(:.*)?"
    r"|(int|loc|nat|reg|sorting)_name|start_date|end_date|ele|phone|fax|email|website|inscription|artist_name"
)
_NUMBER = re.compile(r"[-+]?(\d+)([.,]\d+)?\s*[a-zA-Z'\"°%/²³]*")
_NUMBERS_WITH_MEANING = ("maxspeed", "minspeed", "voltage", "gauge", "frequency")  # few values, each of them a class


class Source(IntEnum):
    """Origin of a text; column `source` of `tags.h5`."""

    DESCRIBED = 0
    PLAIN = 1
    KEY = 2


class TagText(NamedTuple):
    """The text of a tag."""

    text: str
    source: Source


class Descriptions(NamedTuple):
    """The packed excerpt of the schema.

    Attributes:
        version: name and version of the schema.
        free: keys whose values are names, identifiers, addresses, dates or free text.
        keys: key -> label.
        tags: `key=value` -> name, terms and option titles.
    """

    version: str
    free: frozenset[str]
    keys: dict[str, str]
    tags: dict[str, str]


@lru_cache(maxsize=1)
def load_descriptions() -> Descriptions:
    """Reads the packed file, which tools/update_tag_descriptions.py makes."""
    data = json.loads(resources.files("geojepa_cli.tags").joinpath(DATA).read_text(encoding="utf-8"))
    return Descriptions(data["schema"], frozenset(data["free"]), data["keys"], data["tags"])


def describe(key: str, value: str, count: int = RARE) -> TagText:
    """Returns the text of a tag that `count` objects have.

    A pair that the schema has is `key=value: description`, however rare. Any other pair whose value is a class (not a
    name, an address, an identifier, a measure or a long text) and that occurs at least twice is
    `key=value: label: value` if the schema has the key, otherwise `key=value`. All others get the text of their key.
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
    """Returns the text of a key, used for any of its values."""
    label = load_descriptions().keys.get(key)
    return TagText(f"{key}: {label}" if label else key, Source.KEY)


def is_free(key: str, value: str) -> bool:
    """Returns True for values that are not a class but a name, an address, a date or a measure."""
    if key in load_descriptions().free or _FREE_KEY.fullmatch(key) or len(value) > LONGEST_VALUE:
        return True
    number = _NUMBER.fullmatch(value)
    if number is None or key.startswith(_NUMBERS_WITH_MEANING):
        return False
    return len(number[1]) > 2 or number[2] is not None  # `lanes=4` is a class, `height=13.5` and `ele=1200` are not


def _worded(label: str, value: str) -> str:
    """Describes a value without a title, of a key with a label. An encoder hardly separates a bare `yes` from `no`."""
    wording = {"yes": f"present: {label}", "no": f"absent: {label}"}
    return wording.get(value, f"{label}: {value.replace('_', ' ')}")


def _meaning(key: str, value: str) -> str | None:
    """Returns the schema's description; for a list `a;b` the descriptions of its parts if the schema has them all."""
    tags = load_descriptions().tags
    found = tags.get(f"{key}={value}")
    if found is None and ";" in value and len(value) <= LONGEST_VALUE:
        parts = [tags.get(f"{key}={part.strip()}") for part in value.split(";")]
        if all(parts):
            return " and ".join(part for part in parts if part)
    return found
