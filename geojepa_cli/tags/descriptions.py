"""What a tag means, as a sentence for a text encoder: from the OSM tagging schema where it knows the tag."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

DATA = "descriptions.json"
RARE = 2  # a pair on fewer objects that the schema does not know falls back to its key
LONGEST_VALUE = 60

# Keys whose values are names, numbers of things, dates or free text: thousands of them, each on a few objects.
# The schema's own list (`free` in the data file) covers its fields; these are their relatives.
_FREE_KEY = re.compile(
    r"(addr|contact|post|name|alt_name|old_name|official_name|short_name|ref|destination|opening_hours|description"
    r"|wikipedia|wikidata|note|source|seamark|tiger|gnis|is_in|url|image|operator|brand|network|species|taxon|genus)"
    r"([:_].*)?|.*[:_](name|ref|id|wikidata|wikipedia|wikimedia_commons|website|url|phone|date|hours)(:.*)?"
    r"|(int|loc|nat|reg|sorting)_name|start_date|end_date|ele|phone|fax|email|website|inscription|artist_name"
)
_NUMBER = re.compile(r"[-+]?(\d+)([.,]\d+)?\s*[a-zA-Z'\"°%/²³]*")
_NUMBERS_WITH_MEANING = ("maxspeed", "minspeed", "voltage", "gauge", "frequency")  # few values, each a class of its own


class Source(IntEnum):
    """Where a text comes from; column `source` of `tags.h5`."""

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
    """Reads the packed file; made by tools/update_tag_descriptions.py."""
    data = json.loads(resources.files("geojepa_cli.tags").joinpath(DATA).read_text(encoding="utf-8"))
    return Descriptions(data["schema"], frozenset(data["free"]), data["keys"], data["tags"])


def describe(key: str, value: str, count: int = RARE) -> TagText:
    """The text of a tag that `count` objects carry.

    A pair that the schema knows is `key=value: description`, however rare. Else, if its value is one of a few (not a
    name, an address, a number of a thing, a measure or a long text) and occurs at least twice: `key=value: label:
    value` where the schema knows the key, and plain `key=value` where it has nothing. All others get their key's text.
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
    """The text that stands for any value of a key."""
    label = load_descriptions().keys.get(key)
    return TagText(f"{key}: {label}" if label else key, Source.KEY)


def is_free(key: str, value: str) -> bool:
    """Whether a value says who, where or how much, rather than what kind: a name, an address, a date, a measure."""
    if key in load_descriptions().free or _FREE_KEY.fullmatch(key) or len(value) > LONGEST_VALUE:
        return True
    number = _NUMBER.fullmatch(value)
    if number is None or key.startswith(_NUMBERS_WITH_MEANING):
        return False
    return len(number[1]) > 2 or number[2] is not None  # `lanes=4` is a kind, `height=13.5` and `ele=1200` are not


def _worded(label: str, value: str) -> str:
    """A value without a title, of a key with a label; `yes` and `no` alone hardly differ to an encoder."""
    wording = {"yes": f"present: {label}", "no": f"absent: {label}"}
    return wording.get(value, f"{label}: {value.replace('_', ' ')}")


def _meaning(key: str, value: str) -> str | None:
    """The schema's description; of a list `a;b`, the parts' descriptions where it knows them all."""
    tags = load_descriptions().tags
    found = tags.get(f"{key}={value}")
    if found is None and ";" in value and len(value) <= LONGEST_VALUE:
        parts = [tags.get(f"{key}={part.strip()}") for part in value.split(";")]
        if all(parts):
            return " and ".join(part for part in parts if part)
    return found
